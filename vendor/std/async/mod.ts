// Stands for jsr:@std/async: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./delay.d.ts"
export * from "deno-std/async/delay.js";
// @ts-types="./deadline.d.ts"
export * from "deno-std/async/deadline.js";
