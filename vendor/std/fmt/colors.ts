// Stands for jsr:@std/fmt/colors: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./colors.d.ts"
export * from "deno-std/fmt/colors.js";
