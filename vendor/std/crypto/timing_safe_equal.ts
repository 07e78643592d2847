// Stands for jsr:@std/crypto/timing-safe-equal: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./timing_safe_equal.d.ts"
export * from "deno-std/crypto/timing_safe_equal.js";
