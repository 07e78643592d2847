/** The rules of each kind of message, by its type name. Its types are in `metacdn/v1/*.proto`. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { cacheRuleFaults } from "./cache_rules.ts";
import { atMost, between, faults, matching, optional, type Rule, type Rules, text } from "./check.ts";
import { isDigest } from "./digest.ts";
import type { FieldError } from "./error.ts";
import {
  LacksPageSchema,
  LacksQuestionSchema,
  ManifestPageSchema,
  ManifestsQuestionSchema,
  type Ping,
  PingSchema,
  type Pong,
  PongSchema,
  StandingQuestionSchema,
  StandingSchema,
  TreeAnswerSchema,
  TreeQuestionSchema,
} from "./gen/metacdn/v1/cluster_pb.ts";
import { type CacheFill, type EdgeStatus, EdgeStatusSchema } from "./gen/metacdn/v1/edge_pb.ts";
import { type Manifest, ManifestSchema, OfferSchema, type Version } from "./gen/metacdn/v1/object_pb.ts";
import { CachePolicySchema } from "./gen/metacdn/v1/policy_pb.ts";
import {
  type Place,
  PriceExchangeSchema,
  QuoteRequestSchema,
  SheetEntrySchema,
  SheetSchema,
  UsageEntrySchema,
  UsageReportSchema,
} from "./gen/metacdn/v1/pricing_pb.ts";
import {
  type Purge,
  PurgeOrderSchema,
  PurgeReportSchema,
  PurgeRequestSchema,
  PurgeSchema,
  PurgesPageSchema,
  PurgesQuestionSchema,
} from "./gen/metacdn/v1/purge_pb.ts";
import {
  AddServerSchema,
  type ContentSummary,
  ContentSummarySchema,
  type Liveness,
  LivenessSchema,
  type Server,
  type ServerKeys,
  ServerListSchema,
  ServerSchema,
} from "./gen/metacdn/v1/server_pb.ts";
import { ChunkSchema, CommitUploadSchema, CreateUploadSchema } from "./gen/metacdn/v1/upload_pb.ts";
import { pathFault } from "./path.ts";
import { sheetFaults } from "./sheet_rules.ts";

/** Most pairs of metadata an object may carry. */
export const MAX_META = 64;
/**
 * The longest certificate of a server, in bytes of DER; ours have under 1 KiB. Requests bring it in a header field, as
 * base64, and HTTP/2 in Deno takes 16 KiB of header fields.
 */
export const MAX_CERTIFICATE = 8192;

const digest: Rule<string> = (value) => isDigest(value) ? null : "must be 64 lower-case hexadecimal digits (SHA-256)";
/** Names of servers, providers and regions. */
export const identifier: Rule<string> = matching(
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  '1 to 64 letters, digits, ".", "-" or "_", the first a letter or digit',
);
/** What may stand in a Content-Type field: space and tab, and visible ASCII in quotes (RFC 9110 §5.6, §8.3.1). */
const mediaType: Rule<string> = matching(
  /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+([ \t]*;[ \t]*[\w!#$&^.+-]+=("[\t\x20\x21\x23-\x5b\x5d-\x7e]*"|[\w!#$&^.+-]+))*$/,
  'a media type such as "image/jpeg"',
);
const serverUrl: Rule<string> = (value) =>
  value.length <= 512 && /^https?:\/\/[^/\\?#@\s]+$/.test(value) && URL.canParse(value)
    ? null
    : 'must be like "http://host:port", without a path';

/** Bytes of one of the lengths. */
const bytes = (...lengths: number[]): Rule<Uint8Array> => ({ length }) =>
  lengths.includes(length) ? null : `must be ${lengths.join(" or ")} bytes long`;
/** A list of at most `most` entries of `each` bytes, in one field. */
const packed = (each: number, most: number): Rule<Uint8Array> => ({ length }) =>
  length % each === 0 && length <= each * most ? null : `must be at most ${most} times ${each} bytes`;
/** Most entries of one question of anti-entropy, and of its answer. */
const MOST_NODES = 4096;
/** A node of the digest tree: the leading digits of the keys below it. */
const treeNode: Rule<string | undefined> = (value) =>
  value === undefined || /^[0-9a-f]{0,12}$/.test(value) ? null : "must be 0 to 12 lower-case hexadecimal digits";
/** Where a page starts: it names a path, or a key and a path. */
const pageMark = text(9000);

const metaPairs: Rule<Record<string, string>> = (pairs) => {
  const keys = Object.keys(pairs);
  if (keys.length > MAX_META) return `must have at most ${MAX_META} pairs`;
  for (const key of keys) {
    if (identifier(key) !== null) return 'must have keys of 1 to 64 letters, digits, ".", "-" or "_"';
    const fault = text(1024)(pairs[key]!);
    if (fault) return `["${key}"] ${fault}`;
  }
  return null;
};

const version: Rule<Version | undefined> = (value) => {
  if (!value) return "must be set";
  const [first] = faults(value, { wallMs: between(0, 2 ** 47), server: identifier });
  return first ? `.${first.field} ${first.detail}` : null;
};

const manifestRules: Rules<Manifest> = {
  path: pathFault,
  version,
  size: between(0),
  modifiedMs: between(0, 2 ** 47),
  name: text(512),
  mediaType: optional(mediaType),
  meta: metaPairs,
  signature: ({ length }) => length === 0 || length === 64 ? null : "must be 64 bytes, or none",
};

function manifestFaults(manifest: Manifest, prefix = ""): FieldError[] {
  const found = faults(manifest, manifestRules, prefix);
  if (!manifest.deleted) found.push(...faults(manifest, { sha256: digest }, prefix));
  return found;
}

const fewKeys: Rule<Uint8Array[]> = (keys) =>
  keys.length <= 16 && keys.every(({ length }) => length === 32) ? null : "must be at most 16 keys of 32 bytes";

function serverFaults(server: Server, prefix = ""): FieldError[] {
  return faults<Server>(server, {
    id: identifier,
    url: serverUrl,
    provider: identifier,
    region: identifier,
    role: matching(/^(origin|edge)$/, '"origin" or "edge"'),
    software: text(64),
    labels: metaPairs,
    updated: version,
    publicKey: bytes(0, 32),
    knownKeys: fewKeys,
    certificate: ({ length }) => length <= MAX_CERTIFICATE ? null : `must be at most ${MAX_CERTIFICATE} bytes`,
    signature: bytes(0, 64),
  }, prefix);
}

function livenessFaults(liveness: Liveness, prefix = ""): FieldError[] {
  return faults<Liveness>(liveness, { id: identifier, state: between(1, 4) }, prefix);
}

function contentFaults(content: ContentSummary | undefined, prefix = ""): FieldError[] {
  return content ? faults<ContentSummary>(content, { digest: bytes(0, 8) }, prefix) : [];
}

function keysFaults(keys: ServerKeys, prefix = ""): FieldError[] {
  return faults<ServerKeys>(keys, { id: identifier, keys: fewKeys }, prefix);
}

/** What a ping and its answer tell besides. */
function newsFaults({ news, records, content }: Ping | Pong): FieldError[] {
  return [
    ...listFaults("news", news, 1000, livenessFaults),
    ...listFaults("records", records, 100, serverFaults),
    ...contentFaults(content, "content."),
  ];
}

/** The faults of a list of at most `most` messages; of a longer one, of the first `most`. */
function listFaults<T>(
  name: string,
  list: readonly T[],
  most: number,
  check: (one: T, prefix: string) => FieldError[],
): FieldError[] {
  return [
    ...faults({ [name]: list }, { [name]: atMost(most) }),
    ...list.slice(0, most).flatMap((one, at) => check(one, `${name}[${at}].`)),
  ];
}

function versionFaults(value: Version, prefix: string): FieldError[] {
  return faults(value, { wallMs: between(0, 2 ** 47), server: identifier }, prefix.replace(/\.?$/, "."));
}

/** How much one purge may name: URLs, prefixes, tags, and the characters of all of them together. */
export const PURGE_LIMITS = { urls: 10_000, prefixes: 1_000, tags: 1_000, characters: 1 << 20 };

/** A path with its query, as on a request line. */
const purgeKey: Rule<string> = matching(/^\/[\x21-\x7e]*$/, 'a path that starts with "/", percent-encoded', 8192);
const purgeUrl: Rule<string> = matching(
  /^(\/|https?:\/\/[^/?#]+([/?#]|$))[\x21-\x7e]*$/i,
  'an http(s) URL, or a path that starts with "/", percent-encoded',
  8192,
);
/** Surrogate-Key has spaces between its tags, Cache-Tag commas. */
const purgeTag: Rule<string> = matching(/^[\x21-\x2b\x2d-\x7e]+$/, "visible ASCII without a comma", 1024);

/** The faults of lists by what a purge may name; at least one of them must name something. */
function selectionFaults(
  lists: Record<string, readonly string[]>,
  first: Record<string, Rule<string>>,
  prefix = "",
): FieldError[] {
  const rules: Record<string, Rule<string>> = { ...first, prefixes: purgeKey, tags: purgeTag };
  const all = Object.entries(lists);
  const characters = all.reduce((sum, [, list]) => sum + list.reduce((length, one) => length + one.length, 0), 0);
  return [
    ...all.flatMap(([name, list]) => {
      const most = name === "prefixes" || name === "tags" ? PURGE_LIMITS[name] : PURGE_LIMITS.urls;
      return [
        ...faults({ [name]: list }, { [name]: atMost<string>(most) }, prefix),
        ...list.slice(0, most).flatMap((one, at) =>
          faults({ [`${name}[${at}]`]: one }, { [`${name}[${at}]`]: rules[name]! }, prefix)
        ),
      ];
    }),
    ...(all.every(([, list]) => list.length === 0)
      ? [{ field: `${prefix}${all[0]![0]}`, detail: `must name something, or ${all[1]![0]} or ${all[2]![0]} must` }]
      : []),
    ...(characters > PURGE_LIMITS.characters
      ? [{
        field: `${prefix}${all[0]![0]}`,
        detail: `and the others must have ${PURGE_LIMITS.characters} characters at most`,
      }]
      : []),
  ];
}

function purgeFaults({ version: stamp, keys, prefixes, tags }: Purge, prefix = ""): FieldError[] {
  return [
    ...faults({ version: stamp }, { version }, prefix),
    ...selectionFaults({ keys, prefixes, tags }, { keys: purgeKey }, prefix),
  ];
}

/** A month as bills have it. */
export const billingMonth: Rule<string> = matching(/^\d{4}-(0[1-9]|1[0-2])$/, 'a month such as "2026-11"');

/** A figure that can be reckoned with. */
const count = between(0);
const countsByWhy: Rule<Record<string, bigint>> = (counts) => {
  const all = Object.entries(counts);
  if (all.length > 32) return "must have at most 32 entries";
  const wrong = all.find(([why, many]) => !/^[a-z-]{1,32}$/.test(why) || count(many) !== null);
  return wrong ? "must have counts by the names of RFC 9211" : null;
};

function placeFaults(place: Place | undefined, prefix: string): FieldError[] {
  if (!place) return [{ field: prefix.slice(0, -1), detail: "must be set" }];
  return faults(place, { provider: identifier, region: identifier, server: optional(identifier) }, prefix);
}

type Checker = (message: never) => FieldError[];
const table = new Map<string, Checker>();

/** Registers the rules of one kind of message. */
function on<Desc extends DescMessage>(schema: Desc, rule: (message: MessageShape<Desc>) => FieldError[]): void {
  table.set(schema.typeName, rule as Checker);
}

on(ManifestSchema, (message) => manifestFaults(message));
on(OfferSchema, (message) => [
  ...faults(message, { from: identifier, url: serverUrl, manifests: atMost(1000), bodies: atMost(1000) }),
  // What is wrong with one manifest is answered for that one alone (OfferAnswer.REFUSED).
]);
on(CreateUploadSchema, (message) =>
  faults(message, {
    path: pathFault,
    size: between(0),
    sha256: optional(digest),
    mediaType: optional(mediaType),
    name: text(512),
    modifiedMs: between(0, 2 ** 47),
    meta: metaPairs,
  }));
on(ChunkSchema, (message) => faults(message, { sha256: digest }));
on(CommitUploadSchema, (message) => faults(message, { sha256: digest, size: between(0) }));
on(ServerSchema, (message) => serverFaults(message));
on(ServerListSchema, ({ servers, liveness, content, keys }) => [
  ...listFaults("keys", keys, 1000, keysFaults),
  ...listFaults("servers", servers, 1000, serverFaults),
  ...listFaults("liveness", liveness, 1000, livenessFaults),
  ...contentFaults(content, "content."),
]);
on(LivenessSchema, (message) => livenessFaults(message));
on(ContentSummarySchema, (message) => contentFaults(message));
on(PingSchema, (message) => [...faults(message, { from: identifier, target: identifier }), ...newsFaults(message)]);
on(PongSchema, (message) => [...faults(message, { from: identifier }), ...newsFaults(message)]);
on(TreeQuestionSchema, ({ from, nodes }) => [
  ...faults({ from, nodes }, { from: identifier, nodes: atMost(MOST_NODES) }),
  ...nodes.slice(0, MOST_NODES).flatMap((node, at) =>
    faults({ [`nodes[${at}]`]: node }, { [`nodes[${at}]`]: treeNode })
  ),
]);
on(
  TreeAnswerSchema,
  ({ nodes }) =>
    listFaults(
      "nodes",
      nodes,
      MOST_NODES,
      (node, prefix) =>
        faults(node, { count: between(0), children: bytes(0, 16 * 8), entries: packed(6 + 8, MOST_NODES) }, prefix),
    ),
);
on(ManifestsQuestionSchema, (message) =>
  faults(message, {
    from: identifier,
    keys: packed(6, MOST_NODES),
    node: treeNode,
    after: pageMark,
    limit: between(0, 1000),
  }));
on(ManifestPageSchema, (message) => [
  ...faults(message, { manifests: atMost(1000), next: pageMark }),
  // As in an offer: what is wrong with one manifest is the receiver's to judge, for that one alone.
]);
on(StandingQuestionSchema, (message) => faults(message, { from: identifier, path: pathFault, version }));
on(StandingSchema, (message) => faults(message, { state: between(1, 5) }));
on(LacksQuestionSchema, (message) => faults(message, { from: identifier, after: pageMark, limit: between(0, 1000) }));
on(LacksPageSchema, ({ lacks, next }) => [
  ...listFaults("lacks", lacks, 1000, (lack, prefix) =>
    faults(lack, {
      path: pathFault,
      version,
      sha256: digest,
      size: between(0),
      reason: ({ length }) => length <= 4096 ? null : "must be at most 4096 characters",
    }, prefix)),
  ...faults({ next }, { next: pageMark }),
]);
on(PurgeRequestSchema, ({ urls, prefixes, tags }) => selectionFaults({ urls, prefixes, tags }, { urls: purgeUrl }));
on(PurgeSchema, (message) => purgeFaults(message));
on(PurgeOrderSchema, ({ from, purge }) => [
  ...faults({ from }, { from: identifier }),
  ...(purge ? purgeFaults(purge, "purge.") : [{ field: "purge", detail: "must be set" }]),
]);
on(PurgesQuestionSchema, (message) => [
  ...faults(message, {
    from: identifier,
    log: optional(identifier),
    after: between(0),
    limit: between(0, 1000),
    ownLog: optional(identifier),
    ownHead: between(0),
  }),
  ...listFaults("wanted", message.wanted, 1000, versionFaults),
]);
on(PurgesPageSchema, (message) => [
  ...faults(message, {
    log: identifier,
    next: between(0),
    head: between(0),
    floor: between(0),
    floorMs: between(0, 2 ** 47),
  }),
  ...listFaults("versions", message.versions, 1000, versionFaults),
  ...listFaults("purges", message.purges, 1000, purgeFaults),
]);
on(PurgeReportSchema, (message) => [
  ...faults(message, { version, tookMs: between(0) }),
  ...listFaults("members", message.members, 10_000, (member, prefix) =>
    faults(member, {
      id: identifier,
      removed: between(0),
      tookMs: between(0),
      state: text(64),
      // As it was said by whom; for people, and shown as such.
      error: ({ length }) => length <= 4096 ? null : "must be at most 4096 characters",
    }, prefix)),
]);
on(EdgeStatusSchema, (message) => [
  ...faults<EdgeStatus>(message, {
    id: identifier,
    sinceMs: between(0, 2 ** 47),
    hits: count,
    forwarded: countsByWhy,
    collapsed: count,
    staleOnError: count,
    failed: count,
    bytesToViewers: count,
    bytesFromOrigins: count,
    bytesFromSiblings: count,
    siblingRequests: count,
    siblingFailures: count,
    cache: (cache) => cache ? null : "must be set",
    staleBeforeMs: between(0, 2 ** 47),
  }),
  ...(message.cache
    ? faults<CacheFill>(message.cache, {
      entries: count,
      diskBytes: count,
      diskLimit: count,
      memoryBytes: count,
      memoryLimit: count,
      hotBytes: count,
      hotLimit: count,
      evictions: count,
    }, "cache.")
    : []),
  ...listFaults("origins", message.origins, 1000, (origin, prefix) =>
    faults(origin, {
      url: serverUrl,
      // As it was said by whom; for people, and shown as such.
      reason: ({ length }) => length <= 4096 ? null : "must be at most 4096 characters",
      requests: count,
      failures: count,
      bytes: count,
    }, prefix)),
]);
on(AddServerSchema, (message) => faults(message, { url: serverUrl }));
on(SheetSchema, (message) => sheetFaults(message));
on(QuoteRequestSchema, (message) => [
  ...faults(message, { bytes: between(0) }),
  ...listFaults("places", message.places, 1000, placeFaults),
]);
on(UsageReportSchema, (message) => [
  ...faults(message, { reporter: identifier, month: billingMonth }),
  ...listFaults("counts", message.counts, 1000, (count, prefix) => [
    ...faults(count, { bytes: between(0) }, prefix),
    ...placeFaults(count.place, `${prefix}place.`),
  ]),
]);
on(PriceExchangeSchema, (message) => [
  ...faults(message, {
    from: identifier,
    log: identifier,
    after: between(0),
    upTo: between(0),
    head: between(0),
    sheets: atMost(100),
    usage: atMost(1000),
    yourLog: optional(identifier),
    have: between(0),
    digest: (value) => value.length === 16 ? null : "must be 16 bytes",
  }),
  ...(message.after <= message.upTo && message.upTo <= message.head
    ? []
    : [{ field: "upTo", detail: "must lie between after and head" }]),
  // What is wrong with one entry is said of that one alone (pricing/replica.ts): the others count.
]);
on(SheetEntrySchema, (message) => [
  ...faults(message, { provider: identifier, region: identifier, stamp: version, by: text(256) }),
  ...(message.sheet ? sheetFaults({ ...message.sheet, provider: message.provider, region: message.region }) : []).map((
    { field, detail },
  ) => ({ field: `sheet.${field}`, detail })),
]);
on(UsageEntrySchema, (message) => [
  ...faults(message, { reporter: identifier, month: billingMonth, bytes: between(0) }),
  ...placeFaults(message.place, "place."),
]);
on(CachePolicySchema, ({ rules }) => listFaults("rules", rules, 1000, cacheRuleFaults));

/** What is wrong with a decoded message beyond its types; empty where nothing is. */
export function messageFaults<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): FieldError[] {
  const rule = table.get(schema.typeName);
  return rule ? rule(message as never) : [];
}
