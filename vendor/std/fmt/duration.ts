// Stands for jsr:@std/fmt/duration: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./duration.d.ts"
export * from "deno-std/fmt/duration.js";
