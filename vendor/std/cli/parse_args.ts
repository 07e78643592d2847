// Stands for jsr:@std/cli/parse-args: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./parse_args.d.ts"
export * from "deno-std/cli/parse_args.js";
