import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CdnError,
  jsonCodec,
  manifestFromWire,
  manifestToWire,
  messageFaults,
  protobufCodec,
  tombstone,
  wire,
} from "../../proto/mod.ts";
import { message } from "./arbitrary.ts";

/** The fields that are at fault, by our rules. */
function at<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): string[] {
  return messageFaults(schema, create(schema, init)).map(({ field }) => field);
}

const sha256 = "ab".repeat(32);
const version = { wallMs: 1n, counter: 0, server: "a" };
const manifest = { path: "/a", version, sha256, size: 1n, mediaType: "text/plain" };
const sheet = {
  provider: "aws",
  region: "us-east-1",
  unitBytes: 1_000_000_000n,
  pool: wire.Pool.REGION,
  confidence: wire.Confidence.HIGH,
  tiers: [{ upToBytes: 10n, nanoPerUnit: 5n }, { nanoPerUnit: 3n }],
};

Deno.test("manifests: what is right passes, and each wrong field is named", () => {
  const table: [Record<string, unknown>, string[]][] = [
    [{}, []],
    [{ path: "/../a" }, ["path"]],
    [{ path: "" }, ["path"]],
    [{ version: undefined }, ["version"]],
    [{ version: { ...version, server: "" } }, ["version"]],
    [{ version: { ...version, wallMs: -1n } }, ["version"]],
    [{ version: { ...version, wallMs: 2n ** 60n } }, ["version"]],
    [{ sha256: "x" }, ["sha256"]],
    [{ sha256: "" }, ["sha256"]],
    [{ sha256: "", deleted: true, size: 0n }, []],
    [{ signature: new Uint8Array(64) }, []],
    [{ sha256: "", deleted: true, size: 0n, signature: new Uint8Array(64) }, []],
    [{ signature: new Uint8Array(63) }, ["signature"]],
    [{ signature: new Uint8Array(65) }, ["signature"]],
    [{ size: 2n ** 53n }, ["size"]],
    [{ modifiedMs: -1n }, ["modifiedMs"]],
    [{ mediaType: "text/html\r\nX: y" }, ["mediaType"]],
    [{ mediaType: "text" }, ["mediaType"]],
    // What no field may hold: the object could be stored, and every answer with it would be a 500.
    ...['text/plain; a="\u65e5"', 'text/plain; a="\u0000"', "text/plain;\n a=b", "text/plain;\u2028a=b"].map(
      (mediaType): [Record<string, unknown>, string[]] => [{ mediaType }, ["mediaType"]],
    ),
    [{ mediaType: 'multipart/form-data; \t boundary="a b;c"' }, []],
    [{ mediaType: "text/plain; charset=utf-8" }, []],
    [{ name: "a\nb" }, ["name"]],
    [{ name: "n".repeat(513) }, ["name"]],
    [{ meta: { "a b": "c" } }, ["meta"]],
    [{ meta: { a: "c\u0000" } }, ["meta"]],
    [{ meta: { a: "c".repeat(1025) } }, ["meta"]],
    [{ meta: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`k${i}`, "v"])) }, []],
    [{ meta: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, "v"])) }, ["meta"]],
  ];
  for (const [change, fields] of table) {
    assertEquals(at(wire.ManifestSchema, { ...manifest, ...change } as never), fields, JSON.stringify(change, bigints));
  }
});

Deno.test("sheets: tiers without gaps, sorted, priced from zero, the last one open", () => {
  const free = { nanoPerUnit: 3n };
  const table: [Record<string, unknown>, string[]][] = [
    [{}, []],
    [{ tiers: [free] }, []],
    [{ tiers: [] }, ["tiers"]],
    [{ tiers: Array.from({ length: 33 }, (_, i) => i < 32 ? { upToBytes: BigInt(i + 1), nanoPerUnit: 1n } : free) }, [
      "tiers",
    ]],
    [{ tiers: [{ upToBytes: 10n, nanoPerUnit: 5n }] }, ["tiers[0].upToBytes"]],
    [{ tiers: [free, free] }, ["tiers[0].upToBytes"]],
    [{ tiers: [{ upToBytes: 10n, nanoPerUnit: -1n }, free] }, ["tiers[0].nanoPerUnit"]],
    [{ tiers: [{ upToBytes: 10n, nanoPerUnit: 10n ** 16n }, free] }, ["tiers[0].nanoPerUnit"]],
    [{ tiers: [{ upToBytes: 10n, nanoPerUnit: 1n }, { upToBytes: 10n, nanoPerUnit: 1n }, free] }, [
      "tiers[1].upToBytes",
    ]],
    [{ tiers: [{ upToBytes: 20n, nanoPerUnit: 1n }, { upToBytes: 10n, nanoPerUnit: 1n }, free] }, [
      "tiers[1].upToBytes",
    ]],
    [{ tiers: [{ upToBytes: 0n, nanoPerUnit: 1n }, free] }, ["tiers[0].upToBytes"]],
    [{ unitBytes: 1_000_000n }, ["unitBytes"]],
    [{ pool: wire.Pool.POOL_UNSPECIFIED }, ["pool"]],
    [{ pool: 9 }, ["pool"]],
    [{ confidence: 0 }, ["confidence"]],
    [{ currency: "EUR" }, ["nanoUsdPerCurrency"]],
    [{ currency: "EUR", nanoUsdPerCurrency: 1_080_000_000n }, []],
    [{ currency: "eur", nanoUsdPerCurrency: 1n }, ["currency"]],
    [{ nanoUsdPerCurrency: 2n }, ["nanoUsdPerCurrency"]],
    [{ currency: "USD", nanoUsdPerCurrency: 1_000_000_000n }, []],
    [{ nanoUsdPerCurrency: -1n }, ["nanoUsdPerCurrency", "nanoUsdPerCurrency"]],
    [{ serverNanoPerHour: -1n }, ["serverNanoPerHour"]],
    [{ freeBytes: 2n ** 63n }, ["freeBytes"]],
    [{ provider: "a/b" }, ["provider"]],
    [{ region: "" }, ["region"]],
    [{ asOf: "May" }, ["asOf"]],
    [{ note: "x".repeat(1025) }, ["note"]],
  ];
  for (const [change, fields] of table) {
    assertEquals(at(wire.SheetSchema, { ...sheet, ...change } as never), fields, JSON.stringify(change, bigints));
  }
});

Deno.test("servers, quotes, usage and policies: each wrong field is named with its place", () => {
  const server = { id: "a", url: "http://a:1", provider: "aws", region: "r", role: "origin", updated: version };
  const place = { provider: "aws", region: "r" };
  assertEquals(at(wire.ServerSchema, server), []);
  assertEquals(at(wire.ServerSchema, { ...server, url: "ftp://a", role: "king", id: "../a" }), ["id", "url", "role"]);
  for (const url of ["http://a/path", "http://u:p@a", "http://a b", "http://a?q", "http://", "http://a:99999"]) {
    assertEquals(at(wire.AddServerSchema, { url }), ["url"], url);
  }
  assertEquals(at(wire.ServerListSchema, { servers: [server, { ...server, region: "" }] }), ["servers[1].region"]);
  assertEquals(at(wire.ServerListSchema, { servers: Array.from({ length: 1001 }, () => server) }), ["servers"]);
  assertEquals(at(wire.QuoteRequestSchema, { bytes: 1n, places: [place, { ...place, server: "/" }] }), [
    "places[1].server",
  ]);
  assertEquals(at(wire.QuoteRequestSchema, { bytes: 2n ** 60n, places: [] }), ["bytes"]);
  const usage = { reporter: "p", month: "2026-11", counts: [{ place, bytes: 1n }] };
  assertEquals(at(wire.UsageReportSchema, usage), []);
  assertEquals(at(wire.UsageReportSchema, { ...usage, month: "2026-13", counts: [{ bytes: 1n }] }), [
    "month",
    "counts[0].place",
  ]);
  assertEquals(at(wire.CachePolicySchema, { rules: [{ glob: "/**", maxAgeSeconds: 1 }, { glob: "x" }] }), [
    "rules[1].glob",
  ]);
  assertEquals(at(wire.CreateUploadSchema, { path: "/a", size: 2n ** 60n, sha256: "z" }), ["size", "sha256"]);
  assertEquals(at(wire.CreateUploadSchema, { path: "/a" }), []);
  assertEquals(at(wire.ChunkSchema, { sha256: "" }), ["sha256"]);
  assertEquals(
    at(wire.OfferSchema, { from: "a", url: "http://a:1", manifests: [{ path: "bad" }] }),
    [],
    "judged one by one",
  );
});

Deno.test("a caching rule tells caches nothing that contradicts itself", () => {
  const table: [rule: Record<string, unknown>, fields: string[]][] = [
    [{ noStore: true, cdnMaxAgeSeconds: 0 }, []],
    [{ noCache: true, mustRevalidate: true, cdnMaxAgeSeconds: 60 }, []],
    [{ private: true, noCache: true }, []],
    [{ contentAddressed: true, private: true }, []],
    [{ maxAgeSeconds: 1, immutable: true, staleWhileRevalidateSeconds: 1, staleIfErrorSeconds: 1 }, []],
    [{ sharedMaxAgeSeconds: 0, cdnMaxAgeSeconds: 0 }, []],
    [{ noStore: true, maxAgeSeconds: 1, immutable: true }, ["noStore"]],
    [{ noStore: true, sharedMaxAgeSeconds: 0 }, ["noStore"]],
    [{ noStore: true, contentAddressed: true }, ["noStore"]],
    [{ noCache: true, maxAgeSeconds: 1 }, ["noCache"]],
    [{ noCache: true, staleIfErrorSeconds: 1 }, ["noCache"]],
    [{ private: true, sharedMaxAgeSeconds: 0 }, ["private"]],
    [{ private: true, cdnMaxAgeSeconds: 1 }, ["private"]],
    [{ mustRevalidate: true, staleWhileRevalidateSeconds: 1 }, ["mustRevalidate"]],
    [{ immutable: true }, ["immutable"]],
    [{ immutable: true, noStore: true }, ["noStore", "immutable"]],
    [{ maxAgeSeconds: 2 ** 31 + 1, cdnMaxAgeSeconds: 2 ** 32 - 1 }, ["maxAgeSeconds", "cdnMaxAgeSeconds"]],
  ];
  for (const [rule, fields] of table) {
    const found = at(wire.CachePolicySchema, { rules: [{ glob: "/**", ...rule }] });
    assertEquals(found, fields.map((field) => `rules[0].${field}`), JSON.stringify(rule));
  }
});

Deno.test("what servers ask of each other: each wrong field is named with its place", () => {
  const server = { id: "a", url: "http://a:1", provider: "aws", region: "r", role: "origin", updated: version };
  const alive = { id: "a", state: wire.Liveness_State.ALIVE, incarnation: 1n };
  const many = <T>(length: number, one: T): T[] => Array.from({ length }, () => one);
  const bytes = (length: number) => new Uint8Array(length);
  type Case = [DescMessage, Record<string, unknown>, string[]];
  const ping = { from: "a", target: "b" };
  const pong = { from: "a" };
  const lack = { path: "/a", version, sha256, size: 1n };
  const table: Case[] = [
    [wire.ServerSchema, { ...server, publicKey: bytes(32), certificate: bytes(8192), signature: bytes(64) }, []],
    ...[1, 31, 33, 64].map((n): Case => [wire.ServerSchema, { ...server, publicKey: bytes(n) }, ["publicKey"]]),
    ...[1, 63, 65].map((n): Case => [wire.ServerSchema, { ...server, signature: bytes(n) }, ["signature"]]),
    [wire.ServerSchema, { ...server, certificate: bytes(8193) }, ["certificate"]],

    ...[1, 2, 3, 4].map((state): Case => [wire.LivenessSchema, { id: "a", state }, []]),
    ...[0, 5, -1].map((state): Case => [wire.LivenessSchema, { id: "a", state }, ["state"]]),
    ...["", "../a", "a b", "a".repeat(65)].map((id): Case => [wire.LivenessSchema, { ...alive, id }, ["id"]]),
    [wire.ContentSummarySchema, {}, []],
    [wire.ContentSummarySchema, { digest: bytes(8) }, []],
    ...[1, 7, 9].map((n): Case => [wire.ContentSummarySchema, { digest: bytes(n) }, ["digest"]]),

    [wire.PingSchema, { ...ping, news: many(1000, alive), records: many(100, server) }, []],
    [wire.PingSchema, {}, ["from", "target"]],
    [wire.PingSchema, { ...ping, from: "a/b" }, ["from"]],
    [wire.PingSchema, { ...ping, target: "a\n" }, ["target"]],
    [wire.PingSchema, { from: "", target: "/" }, ["from", "target"]],
    [wire.PingSchema, { ...ping, news: many(1001, alive) }, ["news"]],
    [wire.PingSchema, { ...ping, records: many(101, server) }, ["records"]],
    [wire.PingSchema, { ...ping, news: [alive, { id: "b" }] }, ["news[1].state"]],
    [wire.PingSchema, { ...ping, news: [{ ...alive, id: "?" }] }, ["news[0].id"]],
    [wire.PingSchema, { ...ping, records: [{ ...server, publicKey: bytes(3) }] }, ["records[0].publicKey"]],
    [wire.PingSchema, { ...ping, records: [{ ...server, url: "" }] }, ["records[0].url"]],
    [wire.PingSchema, { ...ping, content: { digest: bytes(3) } }, ["content.digest"]],
    [wire.PongSchema, { ...pong, news: [alive], records: [server], content: {} }, []],
    [wire.PongSchema, {}, ["from"]],
    [wire.PongSchema, { ...pong, news: many(1001, alive), records: many(101, server) }, ["news", "records"]],
    [wire.PongSchema, { ...pong, news: [{ id: "", state: 9 }] }, ["news[0].id", "news[0].state"]],
    [wire.PongSchema, { ...pong, records: [{ ...server, role: "" }] }, ["records[0].role"]],
    [wire.PongSchema, { ...pong, content: { digest: bytes(9) } }, ["content.digest"]],

    [wire.ServerListSchema, { servers: [server], liveness: many(1000, alive), content: { digest: bytes(8) } }, []],
    [wire.ServerListSchema, { liveness: many(1001, alive) }, ["liveness"]],
    [wire.ServerListSchema, { liveness: [{ id: "a" }] }, ["liveness[0].state"]],
    [wire.ServerListSchema, { content: { digest: bytes(1) } }, ["content.digest"]],

    [wire.TreeQuestionSchema, { from: "a", nodes: ["", "0", "0123456789ab"] }, []],
    [wire.TreeQuestionSchema, { from: "a", nodes: many(4096, "") }, []],
    [wire.TreeQuestionSchema, { from: "a", nodes: many(4097, "") }, ["nodes"]],
    [wire.TreeQuestionSchema, { nodes: [] }, ["from"]],
    ...["g", "A", "0123456789abc", " ", "0\n", "\u0660"].map((node): Case => [
      wire.TreeQuestionSchema,
      { from: "a", nodes: ["", node] },
      ["nodes[1]"],
    ]),
    [wire.TreeAnswerSchema, { nodes: [{ count: 3n, children: bytes(128) }, { entries: bytes(14 * 4096) }] }, []],
    [wire.TreeAnswerSchema, { nodes: many(4096, {}) }, []],
    [wire.TreeAnswerSchema, { nodes: many(4097, {}) }, ["nodes"]],
    ...[1, 127, 129, 256].map((n): Case => [
      wire.TreeAnswerSchema,
      { nodes: [{ children: bytes(n) }] },
      ["nodes[0].children"],
    ]),
    ...[1, 13, 15, 14 * 4097].map((n): Case => [
      wire.TreeAnswerSchema,
      { nodes: [{}, { entries: bytes(n) }] },
      ["nodes[1].entries"],
    ]),
    [wire.TreeAnswerSchema, { nodes: [{ count: 2n ** 53n }] }, ["nodes[0].count"]],

    [wire.ManifestsQuestionSchema, { from: "a", keys: bytes(6 * 4096), limit: 1000, after: "x".repeat(9000) }, []],
    [wire.ManifestsQuestionSchema, { from: "a", node: "" }, []],
    [wire.ManifestsQuestionSchema, { from: "" }, ["from"]],
    ...[1, 5, 7, 6 * 4097].map((n): Case => [wire.ManifestsQuestionSchema, { from: "a", keys: bytes(n) }, ["keys"]]),
    [wire.ManifestsQuestionSchema, { from: "a", node: "xyz" }, ["node"]],
    [wire.ManifestsQuestionSchema, { from: "a", limit: 1001 }, ["limit"]],
    [wire.ManifestsQuestionSchema, { from: "a", after: "x".repeat(9001) }, ["after"]],
    [wire.ManifestsQuestionSchema, { from: "a", after: "\u0000" }, ["after"]],
    [wire.ManifestPageSchema, { manifests: many(1000, { path: "bad" }), next: "/x" }, []], // judged one by one
    [wire.ManifestPageSchema, { manifests: many(1001, {}) }, ["manifests"]],
    [wire.ManifestPageSchema, { next: "x".repeat(9001) }, ["next"]],

    [wire.LacksQuestionSchema, { from: "a", after: "/x", limit: 1000 }, []],
    [wire.LacksQuestionSchema, { from: "-", after: "\ud800", limit: 1001 }, ["from", "after", "limit"]],
    [wire.LacksPageSchema, { lacks: many(1000, lack), next: "/a" }, []],
    [wire.LacksPageSchema, { lacks: many(1001, lack) }, ["lacks"]],
    [wire.LacksPageSchema, { lacks: [lack, { ...lack, path: "x", sha256: "" }] }, ["lacks[1].path", "lacks[1].sha256"]],
    [wire.LacksPageSchema, { lacks: [{ ...lack, version: undefined, size: 2n ** 60n }] }, [
      "lacks[0].version",
      "lacks[0].size",
    ]],
    [wire.LacksPageSchema, { lacks: [{ ...lack, reason: "x".repeat(4097) }] }, ["lacks[0].reason"]],
    [wire.LacksPageSchema, { next: "\n" }, ["next"]],
    [wire.ChangeServerSchema, { draining: true }, []],
  ];
  for (const [schema, given, fields] of table) {
    assertEquals(at(schema, given as never), fields, `${schema.name} ${JSON.stringify(given, bigints).slice(0, 300)}`);
  }
});

Deno.test("a length of bytes is taken where the rule names it, and nowhere else", () => {
  const server = { id: "a", url: "http://a:1", provider: "aws", region: "r", role: "origin", updated: version };
  fc.assert(fc.property(fc.nat(300), (length) => {
    const bytes = new Uint8Array(length);
    const right = (schema: DescMessage, given: Record<string, unknown>) => at(schema, given as never).length === 0;
    const table: [boolean, boolean][] = [
      [right(wire.ServerSchema, { ...server, publicKey: bytes }), length === 0 || length === 32],
      [right(wire.ServerSchema, { ...server, signature: bytes }), length === 0 || length === 64],
      [right(wire.ContentSummarySchema, { digest: bytes }), length === 0 || length === 8],
      [right(wire.TreeAnswerSchema, { nodes: [{ children: bytes }] }), length === 0 || length === 128],
      [right(wire.TreeAnswerSchema, { nodes: [{ entries: bytes }] }), length % 14 === 0],
      [right(wire.ManifestsQuestionSchema, { from: "a", keys: bytes }), length % 6 === 0],
    ];
    for (const [taken, wanted] of table) assertEquals(taken, wanted, `${length}`);
  }));
});

Deno.test("both encodings refuse the same messages", () => {
  const bad = create(wire.SheetSchema, { ...sheet, tiers: [{ nanoPerUnit: -1n }] });
  for (const codec of [jsonCodec, protobufCodec]) {
    try {
      codec.decode(wire.SheetSchema, codec.encode(wire.SheetSchema, bad));
      assert(false, "was taken");
    } catch (error) {
      assertInstanceOf(error, CdnError);
      assertEquals(error.fields.map(({ field }) => field), ["tiers[0].nanoPerUnit"]);
    }
  }
});

Deno.test("a manifest goes to the wire and back unchanged, tombstones too", () => {
  fc.assert(fc.property(message(wire.ManifestSchema), (given) => {
    const manifest = manifestFromWire(given);
    assertEquals(manifestFromWire(manifestToWire(manifest)), manifest);
    assertEquals(manifestToWire(manifest), given);
  }));
  const gone = tombstone("/a", { wallMs: 5, counter: 1, server: "s" });
  assertEquals(manifestFromWire(manifestToWire(gone)), gone);
  const signed = { ...gone, signature: new Uint8Array(64).fill(7).toBase64() };
  assertEquals(manifestFromWire(manifestToWire(signed)), signed);
  assertEquals(messageFaults(wire.ManifestSchema, manifestToWire(gone)), []);
});

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}` : value;
}

Deno.test("purges: what they name is checked one by one and together, and so is what servers tell of them", () => {
  const many = <T>(length: number, one: T): T[] => Array.from({ length }, () => one);
  const keys = ["/x?y=%2f"];
  const purge = { version, keys };
  const long = `/${"x".repeat(8191)}`;
  type Case = [DescMessage, Record<string, unknown>, string[]];
  const table: Case[] = [
    [
      wire.PurgeRequestSchema,
      { urls: ["/", "http://h", "HTTPS://h:1/x?y#z", long], prefixes: ["/"], tags: ["!+-~"] },
      [],
    ],
    [wire.PurgeRequestSchema, { urls: many(10_000, "/x"), prefixes: many(1000, "/"), tags: many(1000, "t") }, []],
    [wire.PurgeRequestSchema, { urls: many(128, long) }, []],
    [wire.PurgeRequestSchema, { urls: [...many(128, long), "/"] }, ["urls"]],
    [wire.PurgeRequestSchema, {}, ["urls"]],
    [wire.PurgeRequestSchema, { urls: many(10_001, "/") }, ["urls"]],
    [wire.PurgeRequestSchema, { prefixes: many(1001, "/") }, ["prefixes"]],
    [wire.PurgeRequestSchema, { tags: many(1001, "t") }, ["tags"]],
    ...["", "x", "ftp://h/", "http://", "http:///x", "/\u00e9", "/ ", "/\n", `${long}x`].map((url): Case => [
      wire.PurgeRequestSchema,
      { urls: ["/", url] },
      ["urls[1]"],
    ]),
    ...["", "x", "http://h/"].map((one): Case => [wire.PurgeRequestSchema, { prefixes: [one] }, ["prefixes[0]"]]),
    ...["", "a,b", "a b", "\u00e9", "t".repeat(1025)].map((tag): Case => [
      wire.PurgeRequestSchema,
      { tags: [tag] },
      ["tags[0]"],
    ]),
    [wire.PurgeOrderSchema, { from: "a", purge }, []],
    [wire.PurgeOrderSchema, { from: "a" }, ["purge"]],
    [wire.PurgeOrderSchema, { from: "", purge: { keys } }, ["from", "purge.version"]],
    [wire.PurgeOrderSchema, { from: "a", purge: { version, keys: ["http://h/"] } }, ["purge.keys[0]"]],
    [wire.PurgeOrderSchema, { from: "a", purge: { version } }, ["purge.keys"]],
    [wire.PurgesQuestionSchema, { from: "a", wanted: many(1000, version), limit: 1000 }, []],
    [wire.PurgesQuestionSchema, { from: "a", log: "a b", ownLog: "/", limit: 1001 }, ["log", "limit", "ownLog"]],
    [wire.PurgesQuestionSchema, { from: "a", after: 2n ** 60n, ownHead: 2n ** 60n }, ["after", "ownHead"]],
    [wire.PurgesQuestionSchema, { from: "a", wanted: [version, { server: "" }] }, ["wanted[1].server"]],
    [wire.PurgesQuestionSchema, { from: "a", wanted: many(1001, version) }, ["wanted"]],
    [wire.PurgesPageSchema, { log: "l", versions: many(1000, version), purges: [purge], complete: true }, []],
    [wire.PurgesPageSchema, { versions: many(1001, version), floorMs: -1n }, ["log", "floorMs", "versions"]],
    [wire.PurgesPageSchema, { log: "l", purges: [purge, { ...purge, keys: [""] }] }, ["purges[1].keys[0]"]],
    [wire.PurgeReportSchema, { version, members: [{ id: "a" }], tookMs: 0.5 }, []],
    [wire.PurgeReportSchema, { version, members: [{ id: "", tookMs: -1 }], tookMs: -1 }, [
      "tookMs",
      "members[0].id",
      "members[0].tookMs",
    ]],
  ];
  for (const [schema, init, fields] of table) {
    assertEquals(at(schema, init as never), fields, JSON.stringify(init, bigints).slice(0, 200));
  }
});

Deno.test("the status of an edge has figures that can be reckoned with, and texts of bounded length", () => {
  const status = { id: "e", cache: {}, forwarded: { "uri-miss": 1n }, origins: [{ url: "http://o" }] };
  const huge = 2n ** 60n;
  const table: [Record<string, unknown>, string[]][] = [
    [{}, []],
    [{ id: "" }, ["id"]],
    [{ cache: undefined }, ["cache"]],
    [{ hits: huge, bytesToViewers: huge }, ["hits", "bytesToViewers"]],
    [{ sinceMs: -1n, staleBeforeMs: huge }, ["sinceMs", "staleBeforeMs"]],
    [{ forwarded: { stale: huge } }, ["forwarded"]],
    [{ forwarded: { "A b": 1n } }, ["forwarded"]],
    [{ forwarded: Object.fromEntries(Array.from("abcdefghijklmnopqrstuvwxyz", (c) => [c, 1n])) }, []],
    [{ forwarded: Object.fromEntries(Array.from({ length: 33 }, (_, n) => ["a".repeat(n + 1), 1n])) }, ["forwarded"]],
    [{ cache: { diskBytes: huge } }, ["cache.diskBytes"]],
    [{ origins: [{ url: "http://o" }, { url: "file:///x" }] }, ["origins[1].url"]],
    [{ origins: [{ url: "http://o", reason: "r".repeat(4097), bytes: huge }] }, [
      "origins[0].reason",
      "origins[0].bytes",
    ]],
  ];
  for (const [change, fields] of table) {
    assertEquals(at(wire.EdgeStatusSchema, { ...status, ...change } as never), fields, fields.join());
  }
});
