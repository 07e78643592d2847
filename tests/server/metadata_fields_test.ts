import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { encodeField, MAX_META_FIELDS, metadataFields, readMetadata } from "../../server/metadata_fields.ts";

Deno.test("any name and any value pass through fields unharmed", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 60 }).filter((value) =>
    !/\p{Cc}/u.test(value) && value.isWellFormed()
  );
  fc.assert(fc.property(text, text, (name, value) => {
    const headers = new Headers(metadataFields({ name, meta: { key: value } }));
    const read = readMetadata("/x.png", headers);
    assertEquals([read.name, read.meta.key, read.mediaType], [name, value, "image/png"]);
  }));
});

Deno.test("what is visible stays readable", () => {
  assertEquals(encodeField("My photo (1).jpg"), "My photo (1).jpg");
  assertEquals(encodeField(" 100% café "), "%20100%25 caf%C3%A9%20");
});

Deno.test("pairs that would flood a client are left out, the same ones each time", () => {
  const meta = Object.fromEntries(
    Array.from({ length: 64 }, (_, at) => [`k${String(at).padStart(2, "0")}`, "é".repeat(100)]),
  );
  const fields = metadataFields({ name: "", meta });
  const bytes = fields.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  assert(bytes <= MAX_META_FIELDS && fields.length > 0 && fields.length < 64);
  assertEquals(fields.map(([name]) => name), fields.map((_, at) => `metacdn-meta-k${String(at).padStart(2, "0")}`));
});
