// Stands for jsr:@std/encoding/hex: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./hex.d.ts"
export * from "deno-std/encoding/hex.js";
