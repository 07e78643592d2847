// Stands for jsr:@std/encoding/base64: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./base64.d.ts"
export * from "deno-std/encoding/base64.js";
