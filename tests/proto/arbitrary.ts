/** Random valid messages of every kind, made from the descriptors, so that a new message is tested at once. */
import { create, type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";
import { messageFaults, wire } from "../../proto/mod.ts";

/** The schema of every message of the contract. */
export const schemas: DescMessage[] = Object.values(wire as Record<string, unknown>).filter((
  value,
): value is DescMessage => (value as { kind?: string } | null)?.kind === "message").sort((a, b) =>
  a.typeName < b.typeName ? -1 : 1
);

const hex = (length: number) =>
  fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: length, maxLength: length }).map((all) => all.join(""));
const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
const words = fc.string({ unit: "grapheme", maxLength: 30 }).map((text) => text.replaceAll(/\p{Cc}/gu, "").slice(0, 60))
  .filter((text) => text.isWellFormed());
const segment = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .map((text) => text.replaceAll(/[\p{Cc}\\/]/gu, "_")).filter((text) => !["", ".", "..", "-"].includes(text));

/** Object paths, with all that they may hold. */
export const objectPath: fc.Arbitrary<string> = fc.array(segment, { minLength: 1, maxLength: 4 })
  .map((segments) => `/${segments.join("/")}`);
/** SHA-256 digests. */
export const sha256Text: fc.Arbitrary<string> = hex(64);
const pairs = fc.dictionary(name, words, { maxKeys: 5, noNullPrototype: true });
const whole = (most: number) => fc.bigInt({ min: 0n, max: BigInt(most) });
const SAFE = Number.MAX_SAFE_INTEGER;

const bytes = (...lengths: number[]) =>
  fc.oneof(...lengths.map((length) => fc.uint8Array({ minLength: length, maxLength: length })));

/** What the rules ask of a field, by its local name, where its type does not say it. */
const byField: Record<string, fc.Arbitrary<unknown>> = {
  path: objectPath,
  sha256: sha256Text,
  meta: pairs,
  labels: pairs,
  mediaType: fc.constantFrom("", "image/jpeg", 'text/plain; charset="utf-8"', "application/vnd.a+json;v=1"),
  id: name,
  from: name,
  provider: name,
  region: name,
  server: name,
  reporter: name,
  log: name,
  yourLog: name,
  by: name,
  role: fc.constantFrom("origin", "edge"),
  url: fc.constantFrom("http://127.0.0.1:8080", "https://cdn.example.com", "http://[::1]:1"),
  month: fc.constantFrom("2026-11", "1999-01"),
  glob: fc.constantFrom("/**", "/a/*.jpg"),
  wallMs: whole(2 ** 47),
  modifiedMs: whole(2 ** 47),
  size: whole(SAFE),
  bytes: whole(SAFE),
  publicKey: bytes(0, 32),
  knownKeys: fc.array(bytes(32), { maxLength: 4 }),
  signature: bytes(0, 64),
  digest: bytes(0, 8),
  target: name,
  limit: fc.integer({ min: 0, max: 1000 }),
  node: fc.stringMatching(/^[0-9a-f]{0,12}$/),
  children: bytes(0, 128),
  entries: bytes(0, 14, 140),
  keys: bytes(0, 6, 60),
};
const purgeKeys = fc.array(fc.webPath().map((path) => `/${path.replaceAll(/[^\x21-\x7e]/g, "")}`), { maxLength: 3 });
const purgeTags = fc.array(fc.stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,20}$/), { maxLength: 3 });
const byType: Record<string, fc.Arbitrary<unknown>> = {
  "metacdn.v1.PurgeRequest.urls": fc.array(
    fc.constantFrom("/", "/a?b=c#d", "http://h", "HTTPS://h:1/%2F?x=http://y", "https://[::1]?q"),
    { maxLength: 3 },
  ),
  "metacdn.v1.PurgeRequest.prefixes": purgeKeys,
  "metacdn.v1.PurgeRequest.tags": purgeTags,
  "metacdn.v1.Purge.keys": purgeKeys,
  "metacdn.v1.Purge.prefixes": purgeKeys,
  "metacdn.v1.Purge.tags": purgeTags,
  "metacdn.v1.PurgeOutcome.removed": whole(SAFE),
  "metacdn.v1.PurgeOutcome.tookMs": fc.double({ min: 0, max: 1e9, noNaN: true }),
  "metacdn.v1.PurgeReport.tookMs": fc.double({ min: 0, max: 1e9, noNaN: true }),
  "metacdn.v1.PurgesQuestion.after": whole(SAFE),
  "metacdn.v1.PurgesQuestion.ownLog": name,
  "metacdn.v1.PurgesQuestion.ownHead": whole(SAFE),
  "metacdn.v1.PurgesPage.next": whole(SAFE),
  "metacdn.v1.PurgesPage.head": whole(SAFE),
  "metacdn.v1.PurgesPage.floor": whole(SAFE),
  "metacdn.v1.PurgesPage.floorMs": whole(2 ** 47),
  ...Object.fromEntries(
    [
      ...["hits", "collapsed", "staleOnError", "failed", "siblingRequests", "siblingFailures"],
      ...["bytesToViewers", "bytesFromOrigins", "bytesFromSiblings"],
    ].map((field) => [`metacdn.v1.EdgeStatus.${field}`, whole(SAFE)]),
  ),
  "metacdn.v1.EdgeStatus.sinceMs": whole(2 ** 47),
  "metacdn.v1.EdgeStatus.staleBeforeMs": whole(2 ** 47),
  "metacdn.v1.EdgeStatus.forwarded": fc.dictionary(fc.constantFrom("uri-miss", "stale", "method"), whole(SAFE), {
    noNullPrototype: true,
  }),
  ...Object.fromEntries(
    ["entries", "diskBytes", "diskLimit", "memoryBytes", "memoryLimit", "hotBytes", "hotLimit", "evictions"].map((
      field,
    ) => [`metacdn.v1.CacheFill.${field}`, whole(SAFE)]),
  ),
  "metacdn.v1.OriginStatus.requests": whole(SAFE),
  "metacdn.v1.OriginStatus.failures": whole(SAFE),
  "metacdn.v1.Offer.bodies": fc.array(bytes(0, 1, 100), { maxLength: 4 }),
  "metacdn.v1.Liveness.state": fc.constantFrom(1, 2, 3, 4),
  "metacdn.v1.ServerList.keys": fc.array(fc.record({ id: name, keys: fc.array(bytes(32), { maxLength: 3 }) }), {
    maxLength: 2,
  }),
  "metacdn.v1.ServerKeys.keys": fc.array(bytes(32), { maxLength: 4 }),
  "metacdn.v1.TreeAnswer.Node.count": whole(SAFE),
  "metacdn.v1.TreeQuestion.nodes": fc.array(fc.stringMatching(/^[0-9a-f]{0,12}$/), { maxLength: 3 }),
  "metacdn.v1.PriceExchange.after": whole(10),
  "metacdn.v1.PriceExchange.upTo": whole(10).map((more) => more + 10n),
  "metacdn.v1.PriceExchange.head": whole(10).map((more) => more + 20n),
  "metacdn.v1.PriceExchange.have": whole(SAFE),
  "metacdn.v1.PriceExchange.digest": bytes(16),
  "metacdn.v1.Explanation.size": fc.double({ noNaN: true }),
  "metacdn.v1.Sheet.unitBytes": fc.constantFrom(1_000_000_000n, 1_073_741_824n),
  "metacdn.v1.Sheet.freeBytes": whole(SAFE),
  "metacdn.v1.Sheet.pool": fc.constantFrom(1, 2, 3),
  "metacdn.v1.Sheet.confidence": fc.constantFrom(1, 2, 3),
  "metacdn.v1.Sheet.currency": fc.constantFrom("EUR", "CHF"),
  "metacdn.v1.Sheet.nanoUsdPerCurrency": fc.bigInt({ min: 1n, max: 10n ** 12n }),
  "metacdn.v1.Sheet.serverNanoPerHour": whole(1e15),
  "metacdn.v1.Sheet.expectedBytesPerHour": whole(SAFE),
  "metacdn.v1.Sheet.asOf": fc.constantFrom("", "2026", "2026-05", "2026-05-06"),
  "metacdn.v1.Sheet.tiers": fc.tuple(
    fc.uniqueArray(fc.bigInt({ min: 1n, max: 10n ** 15n }), { maxLength: 31 }),
    fc.array(whole(1e15), { minLength: 32, maxLength: 32 }),
  ).map(([ends, prices]) => [
    ...ends.sort((a, b) => a < b ? -1 : 1).map((upToBytes, at) => ({ upToBytes, nanoPerUnit: prices[at]! })),
    { nanoPerUnit: prices[31]! },
  ]),
};

/** Valid messages of one kind. */
export function message<Desc extends DescMessage>(schema: Desc): fc.Arbitrary<MessageShape<Desc>> {
  return fc.record(Object.fromEntries(schema.fields.map((field) => [field.localName, fieldValue(schema, field)])), {
    noNullPrototype: true,
  })
    .map((init) => {
      // Absent is what `undefined` means to the library.
      const set = Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined));
      if (schema.typeName === "metacdn.v1.CacheRule") return create(schema, compatible(set) as never);
      return create(schema, set as never);
    })
    .filter((made) => messageFaults(schema, made).length === 0);
}

/** A caching rule without what must not stand beside each other in it. */
function compatible(rule: Record<string, unknown>): Record<string, unknown> {
  const pick = (...names: string[]) => Object.fromEntries(names.map((name) => [name, rule[name]]));
  if (rule.noStore) return pick("glob", "noStore", "cdnMaxAgeSeconds");
  if (rule.noCache) return pick("glob", "noCache", "mustRevalidate", "cdnMaxAgeSeconds");
  const { private: own, mustRevalidate, immutable, maxAgeSeconds, contentAddressed, ...rest } = rule;
  const lasting = maxAgeSeconds || contentAddressed;
  const kept = { ...rest, maxAgeSeconds, contentAddressed, ...(lasting ? { immutable } : {}) };
  if (own) return { ...kept, private: own, sharedMaxAgeSeconds: undefined, cdnMaxAgeSeconds: undefined };
  if (!mustRevalidate) return kept;
  return { ...kept, mustRevalidate, staleWhileRevalidateSeconds: 0, staleIfErrorSeconds: 0 };
}

function fieldValue(schema: DescMessage, field: DescField): fc.Arbitrary<unknown> {
  const special = byType[`${schema.typeName}.${field.localName}`] ??
    (field.fieldKind === "message" ? undefined : byField[field.localName]);
  const must = ["version", "updated", "place", "stamp", "cache"].includes(field.localName);
  const optional = field.presence !== 2 && !must; // 2: proto3's implicit presence
  const value = special ?? plainValue(field);
  return optional ? fc.option(value, { nil: undefined, freq: 4 }) : value;
}

function plainValue(field: DescField): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "message":
      return message(field.message);
    case "list":
      return fc.array<unknown>(field.listKind === "message" ? message(field.message) : words, { maxLength: 3 });
    case "map":
      return pairs;
    case "enum":
      return fc.constantFrom(...field.enum.values.map((value) => value.number));
    case "scalar":
      return scalar(field.scalar);
  }
}

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return words;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 200 });
    case ScalarType.UINT64:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    case ScalarType.INT64:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case ScalarType.UINT32:
      return fc.integer({ min: 0, max: 2 ** 31 - 1 });
    case ScalarType.DOUBLE:
      return fc.double().map((value) => value === 0 ? 0 : value); // JSON has no -0
    default:
      throw new Error(`no generator for scalar type ${type}: add one`);
  }
}
