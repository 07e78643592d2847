// Stands for jsr:@std/fmt/bytes: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./bytes.d.ts"
export * from "deno-std/fmt/bytes.js";
