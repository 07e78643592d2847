/** The answering side of repair: nodes of our digest tree, and what we know below them. */
import { create } from "@bufbuild/protobuf";
import { badRequest, CdnError, type Manifest, manifestToWire, versionToWire, wire } from "../../proto/mod.ts";
import { type Catalog, type KeyPlace, type Known, SAME_KEY } from "./catalog.ts";
import {
  digestBytes,
  entryDigest,
  isNodeName,
  KEPT_LEVELS,
  KEY_DIGITS,
  keyName,
  NodeSum,
  rangeOf,
} from "./digest_tree.ts";

/** What one message may ask for and bring. */
export const limits = {
  nodes: 256,
  /** Manifests, or keys. */
  manifests: 1000,
  /** Of the manifests of one message, in the larger of both encodings. */
  bytes: 512 << 10,
  /** A node with at most so many tells them rather than its children. 14 bytes each against 128 of the children. */
  entries: 16,
  /** Entries of one key: collisions of 48 bits. */
  sameKey: SAME_KEY,
};

/** Bytes of an entry on the wire: key and digest. */
export const ENTRY_BYTES = 14;
const KEY_BYTES = 6;
/** Nodes that are answered in one go; in between others have their turn. */
const NODES_A_TURN = 16;

/** What the answers need to know. */
export interface AnswerOptions {
  catalog: Catalog;
  /** Whether we may speak of a manifest to others (`stale.ts`). */
  mayTell: (manifest: Manifest) => boolean;
  /** Why a body could not be had, where that was tried; empty where it was not. */
  reason: (manifest: Manifest) => string;
}

/** POST /-/v1/peer/tree. @throws {CdnError} 400 for a wrong question, 503 while the catalog is read. */
export async function answerTree({ catalog }: AnswerOptions, question: wire.TreeQuestion): Promise<wire.TreeAnswer> {
  requireReady(catalog);
  const { nodes } = question;
  if (nodes.length > limits.nodes) throw badRequest(`A question may have at most ${limits.nodes} nodes`);
  if (!nodes.every(isNodeName)) throw badRequest("A node is named by up to 12 hexadecimal digits");
  const answers: wire.TreeAnswer_Node[] = [];
  for (const name of nodes) {
    answers.push(await answerNode(catalog, name));
    if (answers.length % NODES_A_TURN === 0) await catalog.pause();
  }
  return create(wire.TreeAnswerSchema, { nodes: answers });
}

/** POST /-/v1/peer/manifests. @throws {CdnError} 400 for a wrong question, 503 while the catalog is read. */
export async function answerManifests(
  { catalog, mayTell }: AnswerOptions,
  question: wire.ManifestsQuestion,
): Promise<wire.ManifestPage> {
  requireReady(catalog);
  const limit = Math.min(question.limit || limits.manifests, limits.manifests);
  const after = question.after === "" ? undefined : placeFromText(question.after);
  if (after === null) throw badRequest("`after` must be what a page had as `next`");
  const { entries, more } = question.node === undefined
    ? await byKeys(catalog, keysFromBytes(question.keys), limit, after)
    : await belowNode(catalog, question.node, limit, after);
  const manifests: wire.Manifest[] = [];
  let bytes = 0;
  let next = more ? placeToText(entries.at(-1)!) : "";
  for (const [at, entry] of entries.entries()) {
    if (!mayTell(entry.manifest)) continue;
    bytes += wireBytes(entry.manifest);
    if (bytes > limits.bytes && manifests.length > 0) {
      next = placeToText(entries[at - 1]!);
      break;
    }
    manifests.push(manifestToWire(entry.manifest));
  }
  return create(wire.ManifestPageSchema, { manifests, next });
}

/** POST /-/v1/peer/lacks: what is wanted, by path. */
export function answerLacks(
  { reason }: AnswerOptions,
  wanted: { list(after: string, limit: number): Manifest[] },
  question: wire.LacksQuestion,
): wire.LacksPage {
  const limit = Math.min(question.limit || limits.manifests, limits.manifests);
  const found = wanted.list(question.after, limit + 1);
  const page = found.slice(0, limit);
  const lacks = page.map((manifest) => {
    const { path, version, sha256, size } = manifest;
    return create(wire.LacksPage_LackSchema, {
      path,
      version: versionToWire(version),
      sha256,
      size: BigInt(size),
      reason: reason(manifest),
    });
  });
  return create(wire.LacksPageSchema, { lacks, next: found.length > limit ? page.at(-1)!.path : "" });
}

/** @throws {CdnError} 503 while it is being read. */
export function requireReady(catalog: Catalog): void {
  if (catalog.ready) return;
  throw new CdnError("Cannot compare what is known: the catalog is being read", {
    source: "server",
    status: 503,
    retry: true,
    retryAfterSeconds: 1,
  });
}

/** All that is known of keys in [from, to), in order, a page at a time. */
export async function* everything(catalog: Catalog, [from, to]: [number, number]): AsyncGenerator<Known> {
  let after: KeyPlace | undefined;
  for (let more = true; more;) {
    const page = await catalog.knows(from, to, limits.manifests, after);
    yield* page.entries;
    const last = page.entries.at(-1);
    if (last) after = { key: last.key, path: last.manifest.path };
    more = page.more;
    if (more) await catalog.pause();
  }
}

/** What a manifest comes to in a message, at most about so many bytes. */
export function wireBytes(manifest: Manifest): number {
  return new TextEncoder().encode(JSON.stringify(manifest)).length + 64;
}

/** A place as it stands in `next` and `after`. */
function placeToText({ key, manifest }: Pick<Known, "key" | "manifest">): string {
  return keyName(key) + manifest.path;
}

/** The inverse of {@link placeToText}; null for other text. */
export function placeFromText(text: string): KeyPlace | null {
  const match = /^([0-9a-f]{12})(\/.*)$/s.exec(text);
  return match && { key: parseInt(match[1]!, 16), path: match[2]! };
}

/** Keys as they stand in a question. */
export function keysToBytes(keys: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(keys.length * KEY_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [at, key] of keys.entries()) writeKey(view, at * KEY_BYTES, key);
  return bytes;
}

/** Entries of a node, as an answer has them. */
export function entriesFromBytes(bytes: Uint8Array): { key: number; digest: string }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / ENTRY_BYTES }, (_, at) => ({
    key: readKey(view, at * ENTRY_BYTES),
    digest: bytes.subarray(at * ENTRY_BYTES + KEY_BYTES, (at + 1) * ENTRY_BYTES).toHex(),
  }));
}

async function answerNode(catalog: Catalog, name: string): Promise<wire.TreeAnswer_Node> {
  if (name.length < KEPT_LEVELS && catalog.tree.node(name).count > limits.entries) {
    const children = catalog.tree.children(name).map(({ digest }) => digest);
    return nodeMessage(catalog.tree.node(name).count, children, []);
  }
  const most = name.length === KEY_DIGITS ? limits.sameKey : limits.entries;
  const sum = new NodeSum(name);
  const entries: Known[] = [];
  for await (const entry of everything(catalog, rangeOf(name))) {
    const { key, manifest: { path, version } } = entry;
    sum.add(key, entryDigest(path, version));
    if (entries.length <= most) entries.push(entry);
  }
  if (name.length === KEY_DIGITS) entries.length = Math.min(entries.length, most);
  return entries.length > most ? nodeMessage(sum.count, sum.children, []) : nodeMessage(entries.length, [], entries);
}

function nodeMessage(
  count: number,
  children: readonly { high: number; low: number }[],
  entries: readonly Known[],
): wire.TreeAnswer_Node {
  const childBytes = new Uint8Array(children.length * 8);
  for (const [at, child] of children.entries()) childBytes.set(digestBytes(child), at * 8);
  const entryBytes = new Uint8Array(entries.length * ENTRY_BYTES);
  const view = new DataView(entryBytes.buffer);
  for (const [at, { key, manifest: { path, version } }] of entries.entries()) {
    writeKey(view, at * ENTRY_BYTES, key);
    entryBytes.set(digestBytes(entryDigest(path, version)), at * ENTRY_BYTES + KEY_BYTES);
  }
  return create(wire.TreeAnswer_NodeSchema, { count: BigInt(count), children: childBytes, entries: entryBytes });
}

type Page = { entries: Known[]; more: boolean };

function belowNode(catalog: Catalog, node: string, limit: number, after: KeyPlace | undefined): Promise<Page> {
  if (!isNodeName(node)) throw badRequest("A node is named by up to 12 hexadecimal digits");
  return catalog.knows(...rangeOf(node), limit, after);
}

async function byKeys(catalog: Catalog, keys: number[], limit: number, after: KeyPlace | undefined): Promise<Page> {
  const entries: Known[] = [];
  for (const key of keys) {
    if (after && key < after.key) continue;
    const page = await catalog.knows(key, key + 1, limits.sameKey, key === after?.key ? after : undefined);
    entries.push(...page.entries);
    if (entries.length > limit) break;
  }
  return { entries: entries.slice(0, limit), more: entries.length > limit };
}

/** Sorted, each once. */
function keysFromBytes(bytes: Uint8Array): number[] {
  const count = bytes.length / KEY_BYTES;
  if (!Number.isInteger(count) || count > limits.manifests) {
    throw badRequest(`\`keys\` must be up to ${limits.manifests} keys of ${KEY_BYTES} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const keys = new Set(Array.from({ length: count }, (_, at) => readKey(view, at * KEY_BYTES)));
  return [...keys].sort((a, b) => a - b);
}

function readKey(view: DataView, at: number): number {
  return view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
}

function writeKey(view: DataView, at: number, key: number): void {
  view.setUint16(at, Math.floor(key / 2 ** 32));
  view.setUint32(at + 2, key % 2 ** 32);
}
