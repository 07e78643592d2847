/** A store in memory: for tests, and for a server that need not outlive its process. */
import { createHash } from "node:crypto";
import { compareVersions, type Manifest } from "../../proto/mod.ts";
import { pathKey } from "./path_key.ts";
import { comparePaths } from "./path_order.ts";
import { noRoom } from "./room.ts";
import type { BodySource, Entry, Listing, ListQuery, StagedBody, Store } from "./store.ts";
import { readPieces, requireBody, requireExpected, requireInside } from "./stream.ts";

/** Settings of a {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  /** How long a body stays that no manifest names, in milliseconds. */
  graceMs?: number;
  /** Most bytes of all bodies together; past it, staging throws a 507. */
  capacity?: number;
}

type Keyed = Entry & { key: number };

interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  /** Manifests that name it. */
  names: number;
  /** When it was last staged or lost its last name. */
  sinceMs: number;
}

/** A {@link Store} whose content is gone with the process. */
export function memoryStore(
  { now = Date.now, graceMs = 600_000, capacity = Infinity }: MemoryStoreOptions = {},
): Store {
  const entries = new Map<string, Keyed>();
  const bodies = new Map<string, Body>();
  let lastChange = 0;
  let held = 0;

  function sweep(): void {
    for (const [sha256, body] of bodies) {
      if (body.names > 0 || now() - body.sinceMs < graceMs) continue;
      bodies.delete(sha256);
      held -= body.bytes.length;
    }
  }

  /** The bytes are read whole in any case, so what a caller found before is not relied on. */
  async function read(source: BodySource): Promise<{ bytes: Uint8Array<ArrayBuffer>; sha256: string }> {
    const hash = createHash("sha256");
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of "file" in source ? readPieces(source.file) : source) {
      size += chunk.length;
      if (held + size > capacity) throw noRoom("take in the body");
      hash.update(chunk);
      parts.push(chunk.slice());
    }
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return { bytes, sha256: hash.digest("hex") };
  }

  function rename(path: string, manifest: Manifest): void {
    const old = entries.get(path)?.manifest;
    const oldBody = old && bodies.get(old.sha256);
    if (oldBody && --oldBody.names === 0) oldBody.sinceMs = now();
    const body = bodies.get(manifest.sha256);
    if (body) body.names++;
  }

  return {
    get: (path) => Promise.resolve(copy(entries.get(path)?.manifest ?? null)),

    async stage(source, expected = {}): Promise<StagedBody> {
      sweep();
      const { bytes, sha256 } = await read(source);
      const staged = { sha256, size: bytes.length };
      requireExpected(staged, expected);
      const body = bodies.get(sha256);
      if (body) body.sinceMs = now();
      else {
        if (held + bytes.length > capacity) throw noRoom("take in the body");
        bodies.set(sha256, { bytes, names: 0, sinceMs: now() });
        held += bytes.length;
      }
      if ("file" in source) await Deno.remove(source.file);
      return staged;
    },

    put(manifest) {
      return attempt(() => {
        const old = entries.get(manifest.path)?.manifest;
        const order = old ? compareVersions(manifest.version, old.version) : 1;
        if (order <= 0) return order === 0;
        if (!manifest.deleted) requireBody(manifest, bodies.get(manifest.sha256)?.bytes.length ?? null);
        rename(manifest.path, manifest);
        const key = entries.get(manifest.path)?.key ?? pathKey(manifest.path);
        entries.set(manifest.path, { manifest: copy(manifest), change: ++lastChange, key });
        return true;
      });
    },

    open(sha256, range) {
      return attempt(() => {
        const body = bodies.get(sha256);
        if (!body) return null;
        const size = body.bytes.length;
        const { start, end } = range ?? { start: 0, end: size };
        requireInside(size, { start, end });
        return { size, stream: streamOf(body.bytes.subarray(start, end)) };
      });
    },

    list(query): Promise<Listing> {
      return attempt(() => {
        const found = [...entries.values()].filter(matcher(query)).sort(sorter(query));
        const page = found.slice(0, query.limit);
        const shown = page.map(({ manifest, change }) => copy({ manifest, change }));
        return { entries: shown, more: found.length > page.length };
      });
    },

    forget(path, version) {
      return attempt(() => {
        const old = entries.get(path)?.manifest;
        if (!old || compareVersions(old.version, version) !== 0) return false;
        const body = bodies.get(old.sha256);
        if (body && --body.names === 0) body.sinceMs = now();
        return entries.delete(path);
      });
    },

    onLost: () => {},

    [Symbol.asyncDispose]() {
      entries.clear();
      bodies.clear();
      return Promise.resolve();
    },
  };
}

function matcher(query: ListQuery): (entry: Keyed) => boolean {
  if (query.by === "change") return ({ change }) => change > query.after;
  if (query.by === "body") return ({ manifest }) => !manifest.deleted && manifest.sha256 === query.sha256;
  if (query.by === "key") {
    const { from, to, after = { key: -1, path: "" } } = query;
    return ({ key, manifest: { path } }) =>
      key >= from && key < to && (key - after.key || comparePaths(path, after.path)) > 0;
  }
  const { prefix = "", after, tombstones = false } = query;
  return ({ manifest: { path, deleted } }) =>
    path.startsWith(prefix) && (tombstones || !deleted) && (after === undefined || comparePaths(path, after) > 0);
}

function sorter(query: ListQuery): (a: Keyed, b: Keyed) => number {
  if (query.by === "change") return (a, b) => a.change - b.change;
  if (query.by === "key") return (a, b) => a.key - b.key || comparePaths(a.manifest.path, b.manifest.path);
  return (a, b) => comparePaths(a.manifest.path, b.manifest.path);
}

/** Small pieces, each a copy: a reader cannot change what is stored. */
function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.slice(at, at += 65_536));
      if (at >= bytes.length) controller.close();
    },
  }, { highWaterMark: 0 });
}

/** What `work` returns or throws, as a promise. */
function attempt<T>(work: () => T): Promise<T> {
  return Promise.try(work);
}

/** Nobody outside holds what is stored. */
function copy<T>(value: T): T {
  return structuredClone(value);
}
