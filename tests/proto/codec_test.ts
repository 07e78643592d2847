import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CdnError,
  type Codec,
  codecForAnswer,
  codecForBody,
  codecOf,
  jsonCodec,
  MESSAGE_TYPES,
  protobufCodec,
  wire,
} from "../../proto/mod.ts";
import { message, schemas } from "./arbitrary.ts";

const codecs: Codec[] = [jsonCodec, protobufCodec];
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (content: string) => new TextEncoder().encode(content);

/** Decoding must either give a message or throw a 400; nothing else may come out. */
function decodesOrRefuses(codec: Codec, schema: (typeof schemas)[number], input: Uint8Array, lenient = false): void {
  try {
    codec.decode(schema, input, { lenient });
  } catch (error) {
    assertInstanceOf(error, CdnError, `${schema.typeName}: ${error}`);
    assertEquals((error as CdnError).status, 400);
    assert((error as CdnError).message.length < 5000);
  }
}

Deno.test("the contract has all its kinds of messages", () => {
  const names = schemas.map((schema) => schema.name);
  for (const name of ["Chunk", "Explanation", "Manifest", "Offer", "Quote", "Server", "Sheet", "Upload"]) {
    assert(names.includes(name), name);
  }
});

for (const schema of schemas) {
  for (const codec of codecs) {
    Deno.test(`${schema.name}: what ${codec.encoding} encodes, it decodes to the same`, () => {
      fc.assert(
        fc.property(message(schema), (given) => {
          assertEquals(codec.decode(schema, codec.encode(schema, given)), given);
        }),
        { numRuns: 60 },
      );
    });

    Deno.test(`${schema.name}: mangled ${codec.encoding} is a message or a 400`, () => {
      const edit = fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        cut: fc.nat(8),
        insert: fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.constantFrom(...'{}[]",:0-nulltrue\\ud800').map(bytes)),
      });
      fc.assert(
        fc.property(
          message(schema),
          fc.array(edit, { minLength: 1, maxLength: 4 }),
          fc.boolean(),
          (given, edits, soft) => {
            let mangled: Uint8Array = codec.encode(schema, given);
            for (const { at, cut, insert } of edits) {
              const place = Math.floor(at * mangled.length);
              mangled = Uint8Array.from([...mangled.subarray(0, place), ...insert, ...mangled.subarray(place + cut)]);
            }
            decodesOrRefuses(codec, schema, mangled, soft);
          },
        ),
        { numRuns: 60 },
      );
    });

    Deno.test(`${schema.name}: noise as ${codec.encoding} is a message or a 400`, () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => decodesOrRefuses(codec, schema, noise)), {
        numRuns: 100,
      });
    });
  }

  Deno.test(`${schema.name}: well-formed JSON of another shape is a message or a 400`, () => {
    const anything = fc.jsonValue({ maxDepth: 4 });
    const shaped = fc.dictionary(
      fc.constantFrom("__proto__", "constructor", ...schema.fields.map((field) => field.jsonName)),
      fc.oneof(anything, fc.constantFrom("1e400", -1, 1.5, "99999999999999999999", "\ud800", {}, [], [[]], [null])),
      { maxKeys: 6 },
    );
    fc.assert(
      fc.property(fc.oneof(anything, shaped), fc.boolean(), (value, soft) => {
        decodesOrRefuses(jsonCodec, schema, bytes(JSON.stringify(value)), soft);
      }),
      { numRuns: 100 },
    );
  });
}

Deno.test("a JSON of 100,000 open brackets, or one nested as deep, is a 400", () => {
  for (const deep of ["[".repeat(100_000), '{"object":'.repeat(100_000), "[".repeat(5000) + "]".repeat(5000)]) {
    for (const schema of [wire.UploadSchema, wire.ChunkSchema]) {
      assertEquals(assertThrows(() => jsonCodec.decode(schema, bytes(deep)), CdnError).status, 400);
    }
  }
});

Deno.test("protobuf that announces more than there is, or nests for ever, is a 400", () => {
  const huge = Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07); // field 1, 2 GiB long
  assertEquals(assertThrows(() => protobufCodec.decode(wire.ChunkSchema, huge), CdnError).status, 400);
  const groups = new Uint8Array(50_000).fill(0x0b); // field 1, start of a group, again and again
  assertEquals(assertThrows(() => protobufCodec.decode(wire.ChunkSchema, groups), CdnError).status, 400);
});

Deno.test("text that is not UTF-8 is a 400", () => {
  const json = Uint8Array.from([...bytes('{"url":"http://'), 0xff, ...bytes('"}')]);
  assertEquals(assertThrows(() => jsonCodec.decode(wire.AddServerSchema, json), CdnError).status, 400);
  const binary = Uint8Array.of(0x0a, 1, 0xff);
  assertEquals(assertThrows(() => protobufCodec.decode(wire.AddServerSchema, binary), CdnError).status, 400);
});

Deno.test("a 400 names the field, and what would be right", () => {
  const error = assertThrows(
    () => jsonCodec.decode(wire.CommitUploadSchema, bytes('{"sha256":"abc","size":"1"}')),
    CdnError,
  );
  assertEquals(error.fields.map(({ field }) => field), ["sha256"]);
  assertStringIncludes(error.message, "64 lower-case hexadecimal digits");
  const type = assertThrows(() => jsonCodec.decode(wire.CommitUploadSchema, bytes('{"size":"x"}')), CdnError);
  assertStringIncludes(type.message, "size");
});

Deno.test("an unknown JSON field is refused, and passed over when lenient", () => {
  const newer = bytes('{"url":"http://a:1","colour":"red"}');
  assertStringIncludes(assertThrows(() => jsonCodec.decode(wire.AddServerSchema, newer), CdnError).message, "colour");
  assertEquals(jsonCodec.decode(wire.AddServerSchema, newer, { lenient: true }).url, "http://a:1");
});

Deno.test("JSON is the ProtoJSON mapping, with defaults written out", () => {
  const made = create(wire.CommitUploadSchema, { sha256: "0".repeat(64), size: 2n ** 53n - 1n });
  assertEquals(JSON.parse(text(jsonCodec.encode(wire.CommitUploadSchema, made))), {
    sha256: "0".repeat(64),
    size: "9007199254740991",
  });
  assertEquals(JSON.parse(text(jsonCodec.encode(wire.AddServerSchema, create(wire.AddServerSchema)))), { url: "" });
});

Deno.test("a chunk's JSON is what the library writes, and reads what the library reads", () => {
  fc.assert(fc.property(message(wire.ChunkSchema), fc.boolean(), fc.boolean(), (chunk, url, turned) => {
    const written = text(jsonCodec.encode(wire.ChunkSchema, chunk));
    assertEquals(written, toJsonString(wire.ChunkSchema, chunk, { alwaysEmitImplicit: true }));
    assertEquals(fromJsonString(wire.ChunkSchema, written), chunk);
    const { data, sha256 } = JSON.parse(written) as Record<string, string>;
    const alphabet = url ? data!.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") : data;
    const other = JSON.stringify(turned ? { sha256, data: alphabet } : { data: alphabet, sha256 }, null, 1);
    assertEquals(jsonCodec.decode(wire.ChunkSchema, bytes(other)), chunk);
  }));
});

Deno.test("a chunk's JSON with a key twice, white space in its base64 or a wrong letter is judged by the library", () => {
  const sha256 = "0".repeat(64);
  const refused = [
    `{"data":"AAAA","data":"AAAA","sha256":"${sha256}"}`,
    `{"data":"AA\nAA","sha256":"${sha256}"}`,
    `{"data":"AA*A","sha256":"${sha256}"}`,
    `{"data":"AAAA","sha256":"${sha256}"}}`,
  ];
  for (const json of refused) {
    assertEquals(assertThrows(() => jsonCodec.decode(wire.ChunkSchema, bytes(json)), CdnError).status, 400, json);
  }
});

Deno.test("a Content-Type names the codec, else 415 with the list", () => {
  assertEquals(codecForBody("application/json; charset=utf-8"), jsonCodec);
  assertEquals(codecForBody("Application/JSON"), jsonCodec);
  for (const type of ["application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf;a=b"]) {
    assertEquals(codecForBody(type), protobufCodec);
  }
  for (const type of [null, "", "text/plain", "application/json+x", "multipart/form-data; boundary=x"]) {
    const error = assertThrows(() => codecForBody(type), CdnError);
    assertEquals(error.status, 415);
    assertEquals(error.headers.accept, MESSAGE_TYPES);
    assertStringIncludes(error.message, "application/protobuf");
  }
});

Deno.test("Accept chooses the answer's encoding; JSON where in doubt", () => {
  const table: [string | null, Codec][] = [
    [null, jsonCodec],
    ["", jsonCodec],
    ["*/*", jsonCodec],
    ["text/html", jsonCodec],
    ["application/protobuf", protobufCodec],
    ["application/PROTOBUF", protobufCodec],
    ["application/x-protobuf;q=0.9, application/json;q=0.1", protobufCodec],
    ["application/json, application/protobuf;q=0.9", jsonCodec],
    ["application/json;q=0.2, application/protobuf;q=0.9", protobufCodec],
    ["application/protobuf;q=0", jsonCodec],
    ["application/protobuf;q=junk", jsonCodec],
    ["text/html, application/protobuf;q=0.1, */*;q=0.5", jsonCodec],
  ];
  for (const [accept, codec] of table) assertEquals(codecForAnswer(accept).encoding, codec.encoding, `${accept}`);
  assertEquals(codecOf("protobuf"), protobufCodec);
});
