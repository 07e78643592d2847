/**
 * A digest tree over everything that a server knows (a Merkle tree as in Dynamo, DeCandia et al., 2007, §4.7), so that
 * two servers find their differences with messages that grow with the difference. Pure.
 *
 * An entry is a path with its newest version. Its key is 48 bits (`pathKey`), its digest the first 64 bits of
 * SHA-256(path + "\0" + formatVersion(version)). A node's digest is the XOR of the digests of all entries below it. It
 * is named by the leading hexadecimal digits of the keys below it, so each has 16 children; the root is "". XOR makes
 * an update O(depth), and does not stand up to an author who crafts versions: it finds differences, and proves nothing.
 *
 * The upper levels are kept in memory, 12 bytes and a count a node; below them a node is computed from its entries.
 */
import { hash } from "node:crypto";
import { formatVersion, type Version } from "../../proto/mod.ts";
import { KEYS } from "../store/path_key.ts";

/** 64 bits. */
export interface EntryDigest {
  /** The first 32 bits, unsigned. */
  high: number;
  /** The last 32 bits, unsigned. */
  low: number;
}

/** What is below a node. */
export interface TreeNode {
  count: number;
  digest: EntryDigest;
}

/** Hexadecimal digits of a key: the longest name. */
export const KEY_DIGITS = 12;
/** Levels below the root that are kept in memory: 16^4 leaves. */
export const KEPT_LEVELS = 4;

/** Where each kept level starts in the arrays; the last is their length. */
const starts = [0, 1, 17, 273, 4369, 69905];

/** The digest of one entry. */
export function entryDigest(path: string, version: Version): EntryDigest {
  const digest = hash("sha256", `${path}\0${formatVersion(version)}`);
  return { high: parseInt(digest.slice(0, 8), 16), low: parseInt(digest.slice(8, 16), 16) };
}

/** Eight bytes, the highest first. */
export function digestBytes({ high, low }: EntryDigest): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, high);
  view.setUint32(4, low);
  return bytes;
}

/** The inverse of {@link digestBytes}, of the eight bytes at `at`. */
export function digestFromBytes(bytes: Uint8Array, at = 0): EntryDigest {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  return { high: view.getUint32(0), low: view.getUint32(4) };
}

/** Whether two digests are the same. */
export function sameDigest(a: EntryDigest, b: EntryDigest): boolean {
  return a.high === b.high && a.low === b.low;
}

/** A key as the 12 digits that name it. */
export function keyName(key: number): string {
  return key.toString(16).padStart(KEY_DIGITS, "0");
}

/** Whether a text names a node. */
export function isNodeName(name: string): boolean {
  return /^[0-9a-f]{0,12}$/.test(name);
}

/** The keys below a node, [from, to). */
export function rangeOf(name: string): [from: number, to: number] {
  const width = 16 ** (KEY_DIGITS - name.length);
  const from = name === "" ? 0 : parseInt(name, 16) * width;
  return [from, Math.min(from + width, KEYS)];
}

/** The names of a node's 16 children. */
export function childNames(name: string): string[] {
  return Array.from({ length: 16 }, (_, digit) => name + digit.toString(16));
}

/** A node below the kept levels, summed up from its entries. */
export class NodeSum {
  count = 0;
  readonly digest: EntryDigest = { high: 0, low: 0 };
  readonly children: EntryDigest[] = Array.from({ length: 16 }, () => ({ high: 0, low: 0 }));
  readonly #from: number;
  readonly #width: number;

  /** @param name of a node above the last level. */
  constructor(name: string) {
    this.#from = rangeOf(name)[0];
    this.#width = 16 ** (KEY_DIGITS - name.length - 1);
  }

  /** Takes in an entry below the node. */
  add(key: number, digest: EntryDigest): void {
    this.count++;
    toggle(this.digest, digest);
    const child = this.children[Math.floor((key - this.#from) / this.#width)];
    if (child) toggle(child, digest);
  }
}

/** The kept levels. */
export class DigestTree {
  readonly #counts = new Float64Array(starts.at(-1)!);
  readonly #high = new Uint32Array(starts.at(-1)!);
  readonly #low = new Uint32Array(starts.at(-1)!);

  /** Takes in an entry. */
  add(key: number, digest: EntryDigest): void {
    this.#change(key, digest, 1);
  }

  /** Takes out an entry that was taken in. */
  remove(key: number, digest: EntryDigest): void {
    this.#change(key, digest, -1);
  }

  /** @throws {RangeError} for a node below the kept levels. */
  node(name: string): TreeNode {
    const at = placeOf(name);
    return { count: this.#counts[at]!, digest: { high: this.#high[at]!, low: this.#low[at]! } };
  }

  /** @throws {RangeError} for a node whose children are below the kept levels. */
  children(name: string): TreeNode[] {
    return childNames(name).map((child) => this.node(child));
  }

  #change(key: number, { high, low }: EntryDigest, count: 1 | -1): void {
    let index = Math.floor(key / 16 ** (KEY_DIGITS - KEPT_LEVELS));
    for (let level = KEPT_LEVELS; level >= 0; level--) {
      const at = starts[level]! + index;
      this.#counts[at]! += count;
      this.#high[at]! ^= high;
      this.#low[at]! ^= low;
      index >>>= 4;
    }
  }
}

function placeOf(name: string): number {
  if (name.length > KEPT_LEVELS) throw new RangeError(`node "${name}" is below the kept levels`);
  return starts[name.length]! + (name === "" ? 0 : parseInt(name, 16));
}

function toggle(sum: EntryDigest, { high, low }: EntryDigest): void {
  sum.high = (sum.high ^ high) >>> 0;
  sum.low = (sum.low ^ low) >>> 0;
}
