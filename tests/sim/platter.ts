/** What a machine's disk holds: it outlives the process, and loses what a real one loses. */
import { createHash } from "node:crypto";
import { compareVersions, type Manifest, type Version } from "../../proto/mod.ts";
import type { Entry } from "../../server/store/store.ts";
import { between, chance, type Random } from "./prng.ts";

/** A body on the disk. */
export interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  /** When it was last staged or named, by the machine's clock. */
  sinceMs: number;
  /** The byte that is not what was written; null where all are. */
  rottenAt: number | null;
}

/** How a disk behaves. What is not the default is a guard broken on purpose. */
export interface DiskFaults {
  /** It says that all is synced, and writes it only after {@link CACHE_MS}. */
  lies?: boolean;
  /** Bodies have no block checksums: rotten bytes are served. */
  unguarded?: boolean;
  /** Bodies are taken for what they are expected to be. */
  credulous?: boolean;
}

/** After this time even a lying disk has written. */
export const CACHE_MS = 5_000;

/** One disk. All changes of what counts as durable go through {@link change}. */
export class Platter {
  readonly rows = new Map<string, Entry>();
  readonly bodies = new Map<string, Body>();
  /** Beginnings of bodies: never synced, so a crash may tear them. */
  readonly partials = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly records = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly facts = new Map<string, string>();
  readonly wanted = new Map<string, { manifest: Manifest; place: number }>();
  lastChange = 0;
  lastPlace = 0;
  /** No body fits any more. */
  full = false;
  /** A crash after so many further steps of the disk; null for none. */
  crashIn: number | null = null;
  /** Hears of each manifest that is here for good, body and all. */
  onDurable: (manifest: Manifest) => void = () => {};
  /** Called when {@link crashIn} has run out. */
  onCrash: () => void = () => {};
  /** What a lying disk has not written yet, oldest first. */
  #unsynced: { undo: () => void; atMs: number }[] = [];

  constructor(readonly faults: DiskFaults, readonly trueNow: () => number) {}

  /** One map's key is set, or deleted (`undefined`): durable at once, or so the disk says. */
  change<Key, Value>(map: Map<Key, Value>, key: Key, value: Value | undefined): void {
    if (this.faults.lies) {
      const before = map.get(key);
      const atMs = this.trueNow();
      while (this.#unsynced[0] && this.#unsynced[0].atMs < atMs - CACHE_MS) this.#unsynced.shift();
      this.#unsynced.push({ atMs, undo: () => before === undefined ? map.delete(key) : map.set(key, before) });
    }
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }

  /** The manifest is visible from now on. */
  setRow(manifest: Manifest): void {
    const old = this.rows.get(manifest.path)?.manifest;
    this.change(this.rows, manifest.path, { manifest, change: ++this.lastChange });
    if (old) this.#unnamed(old.sha256);
    if (!this.faults.lies) this.onDurable(manifest);
  }

  dropRow(path: string): void {
    const old = this.rows.get(path)?.manifest;
    this.change(this.rows, path, undefined);
    if (old) this.#unnamed(old.sha256);
  }

  /** True where some live manifest names the body. */
  isNamed(sha256: string): boolean {
    for (const { manifest } of this.rows.values()) if (manifest.sha256 === sha256) return true;
    return false;
  }

  /** What a crash leaves: everything synced; of the rest something, or torn, or nothing. */
  crash(random: Random): void {
    this.crashIn = null;
    for (const { undo, atMs } of this.#unsynced.reverse()) if (atMs > this.trueNow() - CACHE_MS) undo();
    this.#unsynced = [];
    for (const [sha256, bytes] of this.partials) {
      if (chance(random, 0.3)) this.partials.delete(sha256);
      else if (chance(random, 0.5)) {
        // The length was written, the tail was not: zeros (what XFS and ext4 leave of a file that grew).
        const torn = bytes.slice();
        torn.fill(0, between(random, 0, bytes.length));
        this.partials.set(sha256, torn);
      } else this.partials.set(sha256, bytes.slice(0, between(random, 0, bytes.length)));
    }
  }

  /** Everything is gone. */
  wipe(): void {
    for (const map of [this.rows, this.bodies, this.partials, this.records, this.facts, this.wanted]) {
      map.clear();
    }
    this.#unsynced = [];
    this.full = false;
  }

  /** The index is gone; `kept` of its rows come back from the journal, the oldest first. Bodies stay. */
  loseIndex(kept: number): void {
    const rows = [...this.rows.values()].sort((a, b) => a.change - b.change);
    const lost = rows.slice(Math.floor(rows.length * kept));
    for (const { manifest } of lost) {
      this.rows.delete(manifest.path);
      this.#unnamed(manifest.sha256);
    }
    this.#unsynced = [];
  }

  /** One bit of one of these bodies turns; its digest, or null where there is none to rot. */
  rot(random: Random, may: (sha256: string) => boolean): string | null {
    const sound = [...this.bodies].filter(([sha256, body]) =>
      body.bytes.length > 0 && body.rottenAt === null && may(sha256)
    );
    if (sound.length === 0) return null;
    const [sha256, body] = sound[between(random, 0, sound.length - 1)]!;
    body.rottenAt = between(random, 0, body.bytes.length - 1);
    return sha256;
  }

  /** What is known of a path here: held, or wanted. */
  newest(path: string): Manifest | null {
    const held = this.rows.get(path)?.manifest;
    const wanted = this.wanted.get(path)?.manifest;
    if (!held || !wanted) return held ?? wanted ?? null;
    return compareVersions(held.version, wanted.version) >= 0 ? held : wanted;
  }

  /** True where this version of the path, or a newer one, is here with all its bytes. */
  holds(path: string, version: Version): boolean {
    const held = this.rows.get(path)?.manifest;
    if (!held || compareVersions(held.version, version) < 0) return false;
    return held.deleted || this.bodies.get(held.sha256)?.rottenAt === null;
  }

  #unnamed(sha256: string): void {
    const body = this.bodies.get(sha256);
    if (body) body.sinceMs = this.trueNow();
  }
}

/** Nobody outside holds what is stored. */
export function copyManifest(manifest: Manifest): Manifest {
  return { ...manifest, version: { ...manifest.version }, meta: { ...manifest.meta } };
}

const keys = new Map<string, number>();

/** The first 48 bits of SHA-256(path). */
export function keyOf(path: string): number {
  let key = keys.get(path);
  if (key === undefined) {
    key = createHash("sha256").update(path, "utf8").digest().readUIntBE(0, 6);
    if (keys.size < 10_000) keys.set(path, key);
  }
  return key;
}
