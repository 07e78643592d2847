// Stands for jsr:@std/media-types/content-type: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./content_type.d.ts"
export * from "deno-std/media_types/content_type.js";
