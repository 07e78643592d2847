// Stands for jsr:@std/http/status: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./status.d.ts"
export * from "deno-std/http/status.js";
