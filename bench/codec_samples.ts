/** Messages as they are sent in earnest: what the codec benches and the table of sizes use. */
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { wire } from "../proto/mod.ts";

/** One kind of message with a typical content. */
export interface Sample {
  name: string;
  schema: DescMessage;
  message: MessageShape<DescMessage>;
}

const digest = (n: number) => n.toString(16).padStart(8, "0").repeat(8);
const list = <T>(length: number, make: (n: number) => T): T[] => Array.from({ length }, (_, n) => make(n));
const version = (n: number) => ({ wallMs: 1_790_000_000_000n + BigInt(n), counter: n % 3, server: "node-a" });
const place = (n: number) => ({
  provider: ["aws", "gcp", "hetzner"][n % 3]!,
  region: "us-east-1",
  server: `node-${n}`,
});

const manifest = (n: number) => ({
  path: `/photos/2026/november/IMG_${10_000 + n}.jpg`,
  version: version(n),
  sha256: digest(n),
  size: BigInt(2_400_000 + n),
  mediaType: "image/jpeg",
  name: `IMG_${10_000 + n}.jpg`,
  modifiedMs: 1_789_000_000_000n + BigInt(n),
  meta: { camera: "X100", album: "november" },
});
const server = (n: number) => ({
  id: `node-${n}`,
  url: `https://node-${n}.cdn.example.com:8443`,
  provider: place(n).provider,
  region: "us-east-1",
  role: "origin",
  labels: { rack: `${n}` },
  software: "0.1.0",
  updated: version(n),
  health: { state: "reachable", lastHeardMs: 1_790_000_000_000n, lagObjects: 0n, error: "" },
});
const quote = (n: number) => ({
  place: place(n),
  priceNano: 90_123n,
  egressNano: 90_000n,
  serverNano: 123n,
  egressNanoPerGb: 90_000_000n,
  serverNanoPerGb: 123_000n,
  bytesUntilChange: 9_999_999_999n,
  usedBytes: 1_234_567_890n,
  confidence: wire.Confidence.HIGH,
  source: "https://cloud.example.com/pricing",
  asOf: "2026-05-06",
});
const candidate = (n: number) => ({
  id: `node-${n}`,
  url: `http://127.0.0.1:${8080 + n}`,
  provider: place(n).provider,
  region: "us-east-1",
  timeMs: 123.456 + n,
  priceNano: 90_123,
  score: 213.579,
  rttMs: 42.1,
  bytesPerSecond: 12_345_678.9,
  confidence: 0.83,
  ageMs: 1234,
  egressNanoPerGb: 90_000_000,
  serverNanoPerGb: 123_000,
  priceConfidence: "high",
});

function sample<Desc extends DescMessage>(
  name: string,
  schema: Desc,
  init: Parameters<typeof create<Desc>>[1],
): Sample {
  return { name, schema, message: create(schema, init) };
}

/** A sample of every message that goes over a wire on its own, but chunks. */
export const samples: Sample[] = [
  sample("Manifest", wire.ManifestSchema, manifest(1)),
  sample("ObjectList of 100", wire.ObjectListSchema, { objects: list(100, manifest), next: "/photos/x" }),
  sample("Offer of 100", wire.OfferSchema, {
    from: "node-a",
    url: "http://node-a:8080",
    manifests: list(100, manifest),
  }),
  sample("OfferAnswer of 100", wire.OfferAnswerSchema, {
    results: list(100, () => ({ outcome: wire.OfferAnswer_Outcome.HELD })),
  }),
  sample("Server", wire.ServerSchema, server(1)),
  sample("ServerList of 10", wire.ServerListSchema, { servers: list(10, server) }),
  sample("AddServer", wire.AddServerSchema, { url: "https://node-a.cdn.example.com:8443" }),
  sample("PurgeRequest of 10", wire.PurgeRequestSchema, {
    urls: list(10, (n) => `https://cdn.example.com/photos/2026/november/IMG_${10_000 + n}.jpg`),
  }),
  sample("PurgeReport of 10", wire.PurgeReportSchema, {
    version: version(1),
    members: list(
      10,
      (n) => ({ id: `node-${n}`, acknowledged: true, removed: 3n, tookMs: 12.345 + n, state: "alive" }),
    ),
    tookMs: 23.456,
  }),
  sample("EdgeStatus", wire.EdgeStatusSchema, {
    id: "edge-1",
    sinceMs: 1_790_000_000_000n,
    hits: 1_234_567n,
    forwarded: { "uri-miss": 23_456n, stale: 3_456n, partial: 456n },
    collapsed: 1_234n,
    staleOnError: 12n,
    failed: 3n,
    bytesToViewers: 12_345_678_901n,
    bytesFromOrigins: 234_567_890n,
    cache: {
      entries: 23_456n,
      diskBytes: 12_345_678_901n,
      diskLimit: 20_000_000_000n,
      memoryBytes: 234_567_890n,
      memoryLimit: 256_000_000n,
      hotBytes: 123_456_789n,
      hotLimit: 256_000_000n,
      evictions: 3_456n,
    },
    origins: list(2, (n) => ({
      url: `https://origin-${n}.example.com`,
      healthy: n === 0,
      reason: n === 0 ? "" : "it answered a probe with 503",
      active: 3 - n,
      requests: 23_456n,
      failures: 12n,
      bytes: 117_283_945n,
    })),
  }),
  sample("CreateUpload", wire.CreateUploadSchema, {
    path: "/photos/2026/november/IMG_10001.jpg",
    size: 2_400_001n,
    sha256: digest(1),
    mediaType: "image/jpeg",
    name: "IMG_10001.jpg",
    modifiedMs: 1_789_000_000_000n,
    meta: { album: "november" },
  }),
  sample("Upload", wire.UploadSchema, {
    id: "k3Jx0QpYx2mV9w",
    path: "/photos/2026/november/IMG_10001.jpg",
    state: wire.Upload_State.OPEN,
    size: 2_400_001n,
    chunkSize: 1 << 20,
    received: [{ start: 0n, end: 1_048_576n }],
    expiresMs: 1_790_086_400_000n,
  }),
  sample("CommitUpload", wire.CommitUploadSchema, { sha256: digest(1), size: 2_400_001n }),
  sample("Sheet of 4 tiers", wire.SheetSchema, {
    provider: "aws",
    region: "us-east-1",
    unitBytes: 1_000_000_000n,
    tiers: [90, 85, 70, 50].map((price, at) => ({
      nanoPerUnit: BigInt(price) * 1_000_000n,
      ...(at < 3 ? { upToBytes: 10n ** BigInt(13 + at) } : {}),
    })),
    freeBytes: 100_000_000_000n,
    pool: wire.Pool.PROVIDER,
    serverNanoPerHour: 33_600_000n,
    source: "https://cloud.example.com/pricing",
    asOf: "2026-05-06",
    confidence: wire.Confidence.HIGH,
    updatedMs: 1_790_000_000_000n,
    updatedBy: "operator",
  }),
  sample("QuoteRequest of 10", wire.QuoteRequestSchema, { bytes: 2_400_001n, places: list(10, place) }),
  sample("QuoteAnswer of 10", wire.QuoteAnswerSchema, {
    quotes: list(10, quote),
    month: "2026-11",
    atMs: 1_790_000_000_000n,
  }),
  sample("UsageReport of 10", wire.UsageReportSchema, {
    reporter: "proxy-7f3a",
    month: "2026-11",
    counts: list(10, (n) => ({ place: place(n), bytes: 123_456_789n })),
  }),
  sample("Explanation of 10", wire.ExplanationSchema, {
    path: "/photos/2026/november/IMG_10001.jpg",
    chosen: "node-1",
    policy: "combined",
    weight: 0.5,
    secondNano: 1_000_000,
    prices: "fresh",
    size: 2_400_001,
    sizeFrom: "known",
    candidates: list(10, candidate),
    reason: "node-1 is cheapest at nearly the same time",
  }),
];

/** The sizes of bodies that are compared, in bytes. */
export const bodySizes: number[] = [1 << 10, 16 << 10, 256 << 10, 1 << 20, 8 << 20];

/** A chunk with incompressible bytes; the same at every run. */
export function chunkOf(size: number): wire.Chunk {
  const data = new Uint8Array(size);
  for (let at = 0, state = 1; at < size; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    data[at] = state >>> 24;
  }
  return create(wire.ChunkSchema, { data, sha256: digest(1) });
}

/** A size for people. */
export function sizeName(bytes: number): string {
  return bytes >= 1 << 20 ? `${bytes >> 20} MiB` : `${bytes >> 10} KiB`;
}
