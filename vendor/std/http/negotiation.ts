// Stands for jsr:@std/http/negotiation: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./negotiation.d.ts"
export * from "deno-std/http/negotiation.js";
