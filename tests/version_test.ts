import { assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { VERSION } from "../runtime/version.ts";

Deno.test("the program's version is that of deno.json", () => {
  assertEquals(VERSION, config.version);
});
