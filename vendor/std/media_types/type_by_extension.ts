// Stands for jsr:@std/media-types/type-by-extension: the same names, from its npm mirror. See vendor/std/README.md.
// @ts-types="./type_by_extension.d.ts"
export * from "deno-std/media_types/type_by_extension.js";
