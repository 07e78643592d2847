import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { randomNonce, sha256, signRequest } from "../../runtime/signature.ts";
import { GB, NOON, type Question, sampleSheet, startPricing, temporaryFolder } from "./kit.ts";

const codecs = [jsonCodec, protobufCodec];
const PATH = "/-/v1/prices/cloud/here-1";
const token = "0123456789abcdef-token";
const bearer = { authorization: `Bearer ${token}` };
const clusterKey = new TextEncoder().encode("0123456789abcdef-cluster");

function put(sheet: wire.Sheet, more: Question = {}): Question {
  return { method: "PUT", message: [wire.SheetSchema, sheet], ...more };
}

for (const codec of codecs) {
  Deno.test(`a sheet is put, read, listed and deleted (${codec.encoding})`, async () => {
    using pricing = startPricing({ seed: [] });
    assertEquals((await pricing.ask(PATH, { codec })).status, 404);
    const created = await pricing.ask(PATH, put(sampleSheet(), { codec }));
    assertEquals([created.status, created.headers.get("content-type")], [201, codec.mediaType]);
    const kept = codec.decode(wire.SheetSchema, new Uint8Array(await created.arrayBuffer()));
    assertEquals(kept, sampleSheet({ updatedMs: BigInt(NOON), updatedBy: "local@192.0.2.7" }));
    assertEquals(await pricing.read(PATH, wire.SheetSchema, { codec }), kept);
    assertEquals((await pricing.ask(PATH, put(sampleSheet({ note: "again" }), { codec }))).status, 200);
    const { sheets } = await pricing.read("/-/v1/prices", wire.SheetListSchema, { codec });
    assertEquals(sheets.map(({ note }) => note), ["again"]);
    const history = await pricing.read(`${PATH}/history`, wire.SheetHistorySchema, { codec });
    assertEquals(history.changes.map(({ sheet }) => sheet?.note), ["again", ""]);
    assertEquals((await pricing.ask(PATH, { method: "DELETE", codec })).status, 204);
    assertEquals((await pricing.ask(PATH, { codec })).status, 404);
    assertEquals((await pricing.ask(PATH, { method: "DELETE", codec })).status, 404);
  });

  Deno.test(`a quote shows each part, and a put price counts in the very next one (${codec.encoding})`, async () => {
    using pricing = startPricing({ seed: [sampleSheet()], expectedBytesPerHour: Number(2n * GB) });
    const quote = async (bytes: bigint) => {
      const places = [{ provider: "cloud", region: "here-1", server: "a" }, { provider: "no", region: "where" }];
      const request = create(wire.QuoteRequestSchema, { bytes, places });
      return await pricing.read("/-/v1/quotes", wire.QuoteAnswerSchema, {
        codec,
        message: [wire.QuoteRequestSchema, request],
      });
    };
    const before = await quote(11n * GB);
    assertEquals([before.month, before.atMs], ["2026-11", BigInt(NOON)]);
    assertEquals(
      before.quotes[0],
      create(wire.QuoteSchema, {
        place: { provider: "cloud", region: "here-1", server: "a" },
        priceNano: 90_000_000n,
        egressNano: 90_000_000n,
        bytesUntilChange: 10n * GB,
        confidence: wire.Confidence.HIGH,
        source: "a test",
        asOf: "2026-11-22",
      }),
    );
    assertEquals([before.quotes[1]!.error, before.quotes[1]!.priceNano], ["There is no price sheet for no/where", 0n]);
    await pricing.read(
      PATH,
      wire.SheetSchema,
      put(
        sampleSheet({ freeBytes: 0n, tiers: [{ nanoPerUnit: 20_000_000n }], serverNanoPerHour: 6_000_000n }),
        { codec },
      ),
    );
    const [after] = (await quote(10n * GB)).quotes;
    assertEquals([after!.egressNano, after!.serverNano, after!.priceNano], [200_000_000n, 30_000_000n, 230_000_000n]);
    assertEquals([after!.egressNanoPerGb, after!.serverNanoPerGb], [20_000_000n, 3_000_000n]);
    assertEquals(after!.bytesUntilChange, undefined);
  });

  Deno.test(`the names may be left out of the body, but not say otherwise than the URL (${codec.encoding})`, async () => {
    using pricing = startPricing({ seed: [] });
    const kept = await pricing.read(PATH, wire.SheetSchema, put(sampleSheet({ provider: "", region: "" }), { codec }));
    assertEquals([kept.provider, kept.region], ["cloud", "here-1"]);
    const refused = await pricing.ask(PATH, put(sampleSheet({ provider: "fog", region: "there" }), { codec }));
    assertEquals(refused.status, 400);
    assertEquals((await refused.json()).errors.map(({ field }: { field: string }) => field), ["provider", "region"]);
    assertEquals((await pricing.read("/-/v1/prices", wire.SheetListSchema)).sheets.length, 1);
  });
}

Deno.test("a price that no message can hold is said to be so, and is no made-up number", async () => {
  const wrong = sampleSheet({ tiers: [{ nanoPerUnit: 10n ** 15n }], freeBytes: 0n });
  using pricing = startPricing({ seed: [wrong] });
  for (const codec of codecs) {
    const request = create(wire.QuoteRequestSchema, {
      bytes: 2n ** 53n - 1n,
      places: [{ provider: "cloud", region: "here-1" }],
    });
    const answer = await pricing.read("/-/v1/quotes", wire.QuoteAnswerSchema, {
      codec,
      message: [wire.QuoteRequestSchema, request],
    });
    assertStringIncludes(answer.quotes[0]!.error, "too large");
    assertEquals(answer.quotes[0]!.priceNano, 0n);
  }
});

Deno.test("two operators do not overwrite each other: If-Match in either encoding, If-None-Match: *", async () => {
  using pricing = startPricing({ seed: [sampleSheet()] });
  const tags = await Promise.all(
    codecs.map(async (codec) => (await pricing.ask(PATH, { codec })).headers.get("etag")!),
  );
  assert(tags[0] !== tags[1], "two representations, two strong tags");
  const write = (note: string, headers: Record<string, string>) =>
    pricing.ask(PATH, put(sampleSheet({ note }), { headers }));
  assertEquals((await write("one", { "if-match": tags[1]! })).status, 200);
  assertEquals((await write("two", { "if-match": tags[0]! })).status, 412);
  assertEquals((await write("two", { "if-match": `"else", ${tags[1]!}` })).status, 412);
  assertEquals((await write("two", { "if-none-match": "*" })).status, 412);
  for (const codec of codecs) {
    const now = (await pricing.ask(PATH, { codec })).headers.get("etag")!;
    assertEquals((await write("two", { "if-none-match": now })).status, 412);
  }
  assertEquals((await pricing.ask(PATH, { method: "DELETE", headers: { "if-match": tags[0]! } })).status, 412);
  assertEquals((await pricing.read(PATH, wire.SheetSchema)).note, "one");
  assertEquals((await write("three", { "if-match": "*" })).status, 200);
  const etag = (await pricing.ask(PATH)).headers.get("etag")!;
  assertEquals((await pricing.ask(PATH, { method: "DELETE", headers: { "if-match": etag } })).status, 204);
  assertEquals((await write("four", { "if-match": etag })).status, 412);
  assertEquals((await write("five", { "if-none-match": "*" })).status, 201);
});

Deno.test("of many writes at once with the same If-Match exactly one is taken, and all others are told", async () => {
  using folder = temporaryFolder();
  using pricing = startPricing({ seed: [sampleSheet()], folder: folder.path });
  const etag = (await pricing.ask(PATH)).headers.get("etag")!;
  const headers = { "if-match": etag };
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) => pricing.ask(PATH, put(sampleSheet({ note: `${at}` }), { headers }))),
  );
  const statuses = answers.map(({ status }) => status);
  assertEquals(statuses.filter((status) => status === 200).length, 1);
  assertEquals(statuses.filter((status) => status === 412).length, 19);
  assertEquals((await pricing.read(PATH, wire.SheetSchema)).note, `${statuses.indexOf(200)}`);
});

Deno.test("of many writes at once without a condition the last one stands, and all are in the history", async () => {
  using pricing = startPricing({ seed: [] });
  const notes = Array.from({ length: 20 }, (_, at) => `${at}`);
  const answers = await Promise.all(notes.map((note) => pricing.ask(PATH, put(sampleSheet({ note })))));
  assert(answers.every(({ ok }) => ok));
  const { changes } = await pricing.read(`${PATH}/history`, wire.SheetHistorySchema);
  assertEquals(changes.map(({ sheet }) => sheet!.note).sort(), notes.sort());
  assertEquals(new Set(changes.map(({ atMs }) => atMs)).size, 20);
  assertEquals((await pricing.read(PATH, wire.SheetSchema)).note, changes[0]!.sheet!.note);
});

Deno.test("what a client has already is not sent again", async () => {
  using pricing = startPricing();
  for (const path of ["/-/v1/prices", "/-/v1/prices/aws/us-east-1", "/"]) {
    const first = await pricing.ask(path);
    const etag = first.headers.get("etag")!;
    const second = await pricing.ask(path, { headers: { "if-none-match": etag } });
    assertEquals([second.status, await second.text()], [304, ""], path);
    const other = await pricing.ask(path, { codec: protobufCodec, headers: { "if-none-match": etag } });
    assertEquals(other.status, 200, "the other encoding is another representation");
  }
});

Deno.test("sheets outlive the process", async () => {
  using folder = temporaryFolder();
  {
    using pricing = startPricing({ folder: folder.path });
    await pricing.ask(PATH, put(sampleSheet()));
    await pricing.ask("/-/v1/prices/aws/us-east-1", { method: "DELETE" });
  }
  using pricing = startPricing({ folder: folder.path });
  assertEquals((await pricing.read(PATH, wire.SheetSchema)).updatedBy, "local@192.0.2.7");
  assertEquals((await pricing.ask("/-/v1/prices/aws/us-east-1")).status, 404);
  const { changes } = await pricing.read("/-/v1/prices/aws/us-east-1/history", wire.SheetHistorySchema);
  assertEquals(changes.map(({ by, sheet }) => [by, sheet !== undefined]), [["local@192.0.2.7", false], ["seed", true]]);
});

Deno.test("the page shows the sheets to people; low confidence is shown as unverified, and nothing is let through", async () => {
  const low = sampleSheet({ confidence: wire.Confidence.LOW, note: "<script>alert(1)</script>" });
  using pricing = startPricing({ seed: [low] });
  const page = await pricing.ask("/", { headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" } });
  assertMatch(page.headers.get("content-type")!, /^text\/html/);
  assertStringIncludes(page.headers.get("content-security-policy")!, "default-src 'none'");
  const html = await page.text();
  const row = html.split("<tbody>")[1]!;
  assertStringIncludes(row, '<b class="unverified">unverified</b>');
  assertStringIncludes(row, "to 100 GB: $0.09/GB");
  assertStringIncludes(row, "$0.05/GB");
  assert(!html.includes("<script>"));
  const json = await pricing.ask("/", { headers: { accept: "*/*" } });
  assertEquals((await json.json()).sheets[0].confidence, "LOW");
});

Deno.test("with a token: writing takes it, reading takes it or the cluster key, health takes neither", async () => {
  using pricing = startPricing({ secrets: { token, clusterKey } });
  const key = clusterKey;
  const sign = (method: string, path: string, body: Uint8Array<ArrayBuffer> | null) =>
    signRequest({ method, url: `http://127.0.0.1:8090${path}`, body }, { key, nowMs: NOON, nonce: randomNonce() });
  const quotes = jsonCodec.encode(wire.QuoteRequestSchema, create(wire.QuoteRequestSchema, { bytes: 1n }));
  const usage = jsonCodec.encode(
    wire.UsageReportSchema,
    create(wire.UsageReportSchema, { reporter: "p", month: "2026-11" }),
  );
  const reads: [method: string, path: string, body: Uint8Array<ArrayBuffer> | null][] = [
    ["GET", "/", null],
    ["GET", "/-/v1/prices", null],
    ["GET", "/-/v1/prices/aws/us-east-1", null],
    ["GET", "/-/v1/prices/aws/us-east-1/history", null],
    ["GET", "/-/v1/usage?month=2026-11", null],
    ["POST", "/-/v1/quotes", quotes],
    ["POST", "/-/v1/usage", usage],
  ];
  const raw = (body: Uint8Array<ArrayBuffer> | null) => body ? { raw: body } : {};
  for (const [method, path, body] of reads) {
    const status = async (headers: Record<string, string>) =>
      (await pricing.ask(path, { method, ...raw(body), headers })).status;
    assertEquals(await status({}), 401, `${method} ${path} without either`);
    assertEquals(
      await status({ authorization: "Bearer 0123456789abcdef-wrong" }),
      401,
      `${method} ${path}, wrong token`,
    );
    assertEquals(await status(bearer), 200, `${method} ${path} with the token`);
    const signed = sign(method, path, body);
    assertEquals(await status(signed), 200, `${method} ${path} signed`);
    assertEquals(await status(signed), 401, `${method} ${path}, played again`);
    if (body) {
      const other = { ...sign(method, path, new TextEncoder().encode("{}")) };
      assertEquals(await status(other), 401, `${method} ${path}, signed for another body`);
    }
  }
  for (const method of ["PUT", "DELETE"]) {
    const body = method === "PUT" ? jsonCodec.encode(wire.SheetSchema, sampleSheet()) : null;
    const path = method === "PUT" ? PATH : "/-/v1/prices/aws/us-east-1";
    assertEquals((await pricing.ask(path, { method, ...raw(body) })).status, 401);
    assertEquals((await pricing.ask(path, { method, ...raw(body), headers: sign(method, path, body) })).status, 401);
    assert((await pricing.ask(path, { method, ...raw(body), headers: bearer })).ok);
  }
  const { updatedBy } = await pricing.read(PATH, wire.SheetSchema, { headers: bearer });
  assertEquals(updatedBy, `token:${sha256(new TextEncoder().encode(token)).slice(0, 8)}@192.0.2.7`);
  for (const path of ["/-/healthz", "/-/readyz"]) assertEquals((await pricing.ask(path)).status, 200);
});

Deno.test("without a token, a page of another origin can neither write nor read", async () => {
  using pricing = startPricing();
  const headers = { origin: "http://evil.example" };
  assertEquals((await pricing.ask(PATH, put(sampleSheet(), { headers }))).status, 403);
  assertEquals((await pricing.ask("/-/v1/prices", { headers })).status, 403);
});

Deno.test("not ready where the database is gone", async () => {
  const pricing = startPricing();
  pricing[Symbol.dispose]();
  assertEquals((await pricing.ask("/-/readyz")).status, 503);
  assertEquals((await pricing.ask("/-/healthz")).status, 200);
});

Deno.test("other methods get 405 with what there is, other paths 404, HEAD no body", async () => {
  using pricing = startPricing();
  const post = await pricing.ask("/-/v1/prices", { method: "POST" });
  assertEquals([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
  assertEquals((await pricing.ask(PATH, { method: "PATCH" })).headers.get("allow"), "GET, HEAD, PUT, DELETE");
  for (const method of ["constructor", "toString", "hasOwnProperty"]) { // words that every object knows
    assertEquals((await pricing.ask("/-/v1/prices", { method })).status, 405, method);
  }
  for (const path of ["/photo.jpg", "/-/v1/objects", "/-/v1/prices/aws", "/-/v1/prices/aws/us-east-1/x"]) {
    assertEquals((await pricing.ask(path)).status, 404, path);
  }
  const head = await pricing.ask("/-/v1/prices/aws/us-east-1", { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
});
