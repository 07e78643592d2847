// Stands for jsr:@std/path: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./mod.d.ts"
export * from "deno-std/path/mod.js";
