// Stands for jsr:@std/encoding/base64url: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./base64url.d.ts"
export * from "deno-std/encoding/base64url.js";
