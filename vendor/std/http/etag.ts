// Stands for jsr:@std/http/etag: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./etag.d.ts"
export * from "deno-std/http/etag.js";
