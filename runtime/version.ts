/** The program's version; the same as in deno.json (a test sees to it). */
export const VERSION = "0.1.0";
