import { assertStringIncludes } from "@std/assert";
import { encodingsTable } from "../../bench/encodings_table.ts";

Deno.test("docs/encodings.md has the table that bench/encodings_table.ts prints", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/encodings.md", import.meta.url));
  const plain = (table: string) => table.replaceAll(/ +/g, " ").replaceAll(/-+/g, "-");
  assertStringIncludes(plain(text), plain(encodingsTable()));
});
