// Stands for jsr:@std/assert: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./mod.d.ts"
export * from "deno-std/assert/mod.js";
