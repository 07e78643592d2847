/** What every `Store` must do. A store's own test calls {@link storeSuite}; a case left out needs a reason. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { CdnError, type Manifest, tombstone, type Version } from "../../proto/mod.ts";
import { KEYS, pathKey } from "../../server/store/path_key.ts";
import { bodySize, type ListQuery, type Store } from "../../server/store/store.ts";

/** How a suite gets at the store that it tests. */
export interface StoreHarness {
  /** An empty store. */
  open(): Promise<Store>;
  /** Cases that this store cannot pass, each with the reason. */
  skip?: Record<string, string>;
}

export const encoder = new TextEncoder();

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The bytes as a source, in pieces; as a network would, it may use its buffer again. */
export async function* chunksOf(bytes: Uint8Array, pieceSize = 1000): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(pieceSize);
  for (let at = 0; at < bytes.length; at += pieceSize) {
    const piece = bytes.subarray(at, at + pieceSize);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
    await Promise.resolve();
  }
}

/** Bytes that do not repeat, the same for the same seed. */
export function pattern(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0, state = seed >>> 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export function versionOf(wallMs: number, counter = 0, server = "a"): Version {
  return { wallMs, counter, server };
}

export function manifestOf(path: string, version: Version, bytes: Uint8Array): Manifest {
  return {
    path,
    version,
    deleted: false,
    sha256: sha256(bytes),
    size: bytes.length,
    mediaType: "text/plain",
    name: "naïve.txt",
    modifiedMs: 1_700_000_000_000,
    meta: { author: "Ada", "x.y": "" },
  };
}

/** Stages and puts in one go. */
export async function write(store: Store, path: string, version: Version, bytes: Uint8Array): Promise<Manifest> {
  await store.stage(chunksOf(bytes));
  const manifest = manifestOf(path, version, bytes);
  assert(await store.put(manifest), `${path} must be news`);
  return manifest;
}

/** A held body; null where it is not held. */
export async function read(
  store: Store,
  digest: string,
  range?: { start: number; end: number },
): Promise<Uint8Array | null> {
  const body = await store.open(digest, range);
  return body && await new Response(body.stream).bytes();
}

/** Registers every case for one kind of store. */
export function storeSuite(kind: string, { open, skip = {} }: StoreHarness): void {
  const names = new Set<string>();
  const test = (name: string, run: (store: Store) => Promise<void>) => {
    names.add(name);
    const reason = skip[name];
    Deno.test(
      `${kind}: ${name}${reason ? ` (skipped: ${reason})` : ""}`,
      { ignore: reason !== undefined },
      async () => {
        await using store = await open();
        await run(store);
      },
    );
  };

  test("a path never heard of has no manifest", async (store) => {
    assertEquals(await store.get("/none"), null);
    assertEquals(await store.open(sha256(encoder.encode("none"))), null);
    assertEquals(await store.open("not-a-digest/../../x"), null);
  });

  test("what was put is what one gets, in every field", async (store) => {
    const bytes = pattern(70_001);
    const manifest = await write(store, "/a/b – c.txt", versionOf(5, 7, "srv-1"), bytes);
    assertEquals(await store.get("/a/b – c.txt"), manifest);
    assertEquals(await read(store, manifest.sha256), bytes);
  });

  test("bodies of 0, 1 and many bytes", async (store) => {
    for (const length of [0, 1, 65_536, 1_000_003]) {
      const bytes = pattern(length);
      assertEquals(await store.stage(chunksOf(bytes, 70_000)), { sha256: sha256(bytes), size: length });
      assertEquals(await read(store, sha256(bytes)), bytes);
    }
  });

  test("a staged body is visible under no path", async (store) => {
    await store.stage(chunksOf(pattern(10)));
    assertEquals((await store.list({ by: "path", limit: 10, tombstones: true })).entries, []);
    assertEquals((await store.list({ by: "change", after: 0, limit: 10 })).entries, []);
  });

  test("a body that is not what was expected is refused and not kept", async (store) => {
    const bytes = pattern(5000);
    const digest = sha256(bytes);
    const wrong = sha256(encoder.encode("other"));
    for (const expected of [{ sha256: wrong }, { size: 4999 }, { sha256: digest, size: 5001 }]) {
      const error = await assertRejects(() => store.stage(chunksOf(bytes), expected), CdnError);
      assertEquals([error.status, error.source], [400, "client"]);
      assertEquals(await store.open(digest), null);
    }
    await store.stage(chunksOf(bytes), { sha256: digest, size: 5000 });
    assert(await read(store, digest));
  });

  test("what the source throws is passed on, and nothing is kept", async (store) => {
    const fault = new Error("the sender went away");
    async function* broken() {
      yield* chunksOf(pattern(3000));
      throw fault;
    }
    assertEquals(await assertRejects(() => store.stage(broken()), Error), fault);
    assertEquals(await store.open(sha256(pattern(3000))), null);
  });

  test("a file is taken over, and stays where it is refused", async (store) => {
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/part`;
      const bytes = pattern(300_000);
      const body = { sha256: sha256(bytes), size: bytes.length };
      await Deno.writeFile(file, bytes);
      const error = await assertRejects(() => store.stage({ file }, { size: 1 }), CdnError);
      assertEquals(error.status, 400);
      assertEquals(await Deno.readFile(file), bytes);
      assertEquals(await store.stage({ file }, body), body);
      await assertRejects(() => Deno.stat(file), Deno.errors.NotFound);
      assertEquals(await read(store, body.sha256), bytes);
      // And once more, although the body is held; this time the caller has hashed it.
      await Deno.writeFile(file, bytes);
      assertEquals(await store.stage({ file, hashed: body }, body), body);
      await assertRejects(() => Deno.stat(file), Deno.errors.NotFound);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  test("a manifest needs its body, and of the right size", async (store) => {
    const bytes = pattern(100);
    const manifest = manifestOf("/a", versionOf(1), bytes);
    const missing = await assertRejects(() => store.put(manifest), CdnError);
    assertEquals(missing.status, 409);
    await store.stage(chunksOf(bytes));
    const wrong = await assertRejects(() => store.put({ ...manifest, size: 99 }), CdnError);
    assertEquals(wrong.status, 400);
    assertEquals(await store.get("/a"), null);
    assertEquals(await store.put(manifest), true);
  });

  test("the newest version wins, in whatever order they come", async (store) => {
    const older = await write(store, "/a", versionOf(10, 1, "a"), pattern(10, 1));
    assertEquals(await store.put(older), true, "the same version again");
    for (const version of [versionOf(9, 9, "z"), versionOf(10, 0, "z"), versionOf(10, 1, "A")]) {
      assertEquals(await store.put({ ...older, version }), false);
    }
    assertEquals(await store.get("/a"), older);
    for (const version of [versionOf(10, 1, "b"), versionOf(10, 2, "a"), versionOf(11, 0, "a")]) {
      assertEquals(await store.put({ ...older, version }), true);
      assertEquals((await store.get("/a"))?.version, version);
    }
  });

  test("something older is no news even where its body is not held", async (store) => {
    await write(store, "/a", versionOf(10), pattern(10, 1));
    assertEquals(await store.put(manifestOf("/a", versionOf(9), pattern(10, 2))), false);
  });

  test("a delete is a tombstone that older writes do not raise", async (store) => {
    const manifest = await write(store, "/a", versionOf(10), pattern(10));
    const grave = tombstone("/a", versionOf(12));
    assertEquals(await store.put(grave), true);
    assertEquals(await store.get("/a"), grave);
    assertEquals(await store.put({ ...manifest, version: versionOf(11) }), false);
    assertEquals(await store.put({ ...manifest, version: versionOf(13) }), true);
    assertEquals((await store.get("/a"))?.deleted, false);
    assertEquals(await store.put(tombstone("/never", versionOf(1))), true);
    assertEquals((await store.get("/never"))?.deleted, true);
  });

  test("parts of a body", async (store) => {
    const bytes = pattern(600_000);
    const { sha256: digest } = await store.stage(chunksOf(bytes, 65_536));
    for (const [start, end] of [[0, 600_000], [0, 1], [1, 2], [599_999, 600_000], [5, 400_000], [300_000, 600_000]]) {
      assertEquals(await read(store, digest, { start: start!, end: end! }), bytes.slice(start, end));
    }
    for (const at of [0, 7, 600_000]) assertEquals((await read(store, digest, { start: at, end: at }))?.length, 0);
    for (const [start, end] of [[-1, 2], [2, 1], [0, 600_001], [600_001, 600_001], [0.5, 2], [NaN, 2]]) {
      await assertRejects(() => store.open(digest, { start: start!, end: end! }), RangeError);
    }
    assertEquals(await store.open(sha256(pattern(3)), { start: 5, end: 1 }), null, "not held: nothing to be inside of");
  });

  test("whatever part is opened, the size is that of the whole body", async (store) => {
    for (const length of [0, 1, 300_001]) {
      const { sha256: digest } = await store.stage(chunksOf(pattern(length), 65_536));
      for (const range of [undefined, { start: 0, end: 0 }, { start: length >> 1, end: length }]) {
        const body = await store.open(digest, range);
        assertEquals(body?.size, length);
        await body!.stream.cancel();
      }
      assertEquals(await bodySize(store, digest), length);
    }
    assertEquals(await bodySize(store, sha256(encoder.encode("none"))), null);
  });

  test("readers do not disturb each other, and may go away", async (store) => {
    const bytes = pattern(900_000);
    const { sha256: digest } = await store.stage(chunksOf(bytes, 65_536));
    for (const range of [{}, { start: 1, end: 800_000 }] as { start: number; end: number }[]) {
      const gone = await store.open(digest, "start" in range ? range : undefined);
      const reader = gone!.stream.getReader();
      await reader.read();
      await reader.cancel();
    }
    await (await store.open(digest))!.stream.cancel();
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, at) => read(store, digest, { start: at, end: 900_000 })),
    );
    all.forEach((part, at) => assertEquals(part!.length, bytes.length - at));
    assertEquals(all[3], bytes.slice(3));
  });

  test("one body serves several paths, and outlives each", async (store) => {
    const bytes = pattern(5000);
    const first = await write(store, "/a", versionOf(1), bytes);
    await write(store, "/b", versionOf(2), bytes);
    await write(store, "/a", versionOf(3), pattern(10, 2));
    assertEquals(await read(store, first.sha256), bytes);
  });

  test("the same bytes at the same time are one body", async (store) => {
    const bytes = pattern(200_000);
    const staged = await Promise.all(Array.from({ length: 6 }, () => store.stage(chunksOf(bytes, 10_000))));
    for (const body of staged) assertEquals(body, { sha256: sha256(bytes), size: bytes.length });
    assertEquals(await read(store, sha256(bytes)), bytes);
  });

  test("pages by path", async (store) => {
    const paths = ["/a", "/a/b", "/a/c", "/a-b", "/b", "/é", "/\u{fffd}x", "/\u{1f4f7}", "/z"];
    for (const [at, path] of paths.entries()) await write(store, path, versionOf(at + 1), pattern(3));
    await store.put(tombstone("/a/c", versionOf(100)));
    const pathsOf = async (query: { prefix?: string; after?: string; limit?: number; tombstones?: boolean }) => {
      const { entries, more } = await store.list({ by: "path", limit: 100, ...query });
      return { paths: entries.map(({ manifest }) => manifest.path), more };
    };
    assertEquals(await pathsOf({}), {
      paths: ["/a", "/a-b", "/a/b", "/b", "/z", "/é", "/\u{fffd}x", "/\u{1f4f7}"],
      more: false,
    });
    assertEquals(await pathsOf({ prefix: "/a" }), { paths: ["/a", "/a-b", "/a/b"], more: false });
    assertEquals(await pathsOf({ prefix: "/a/" }), { paths: ["/a/b"], more: false });
    assertEquals((await pathsOf({ prefix: "/a/", tombstones: true })).paths, ["/a/b", "/a/c"]);
    assertEquals(await pathsOf({ limit: 2 }), { paths: ["/a", "/a-b"], more: true });
    assertEquals(await pathsOf({ limit: 2, after: "/a-b" }), { paths: ["/a/b", "/b"], more: true });
    assertEquals(await pathsOf({ limit: 5, after: "/b" }), {
      paths: ["/z", "/é", "/\u{fffd}x", "/\u{1f4f7}"],
      more: false,
    });
    assertEquals(await pathsOf({ after: "/aa", prefix: "/a" }), { paths: [], more: false });
    assertEquals(await pathsOf({ after: "/", prefix: "/b" }), { paths: ["/b"], more: false });
    assertEquals((await pathsOf({ prefix: "/a%" })).paths, []);
    assertEquals((await pathsOf({ prefix: "/_" })).paths, []);
  });

  test("the order of changes grows, and an overwritten path moves to its end", async (store) => {
    await write(store, "/a", versionOf(1), pattern(1));
    await write(store, "/b", versionOf(2), pattern(2));
    const before = (await store.list({ by: "change", after: 0, limit: 10 })).entries;
    assertEquals(before.map(({ manifest }) => manifest.path), ["/a", "/b"]);
    await store.put(tombstone("/a", versionOf(3)));
    const after = (await store.list({ by: "change", after: before[1]!.change, limit: 10 })).entries;
    assertEquals(after.map(({ manifest }) => [manifest.path, manifest.deleted]), [["/a", true]]);
    assert(after[0]!.change > before[1]!.change);
    // No news, no change.
    assertEquals(await store.put(tombstone("/a", versionOf(3))), true);
    assertEquals(await store.put(tombstone("/a", versionOf(2))), false);
    const { entries, more } = await store.list({ by: "change", after: 0, limit: 1 });
    assertEquals([entries[0]!.manifest.path, more], ["/b", true]);
    assertEquals(await store.list({ by: "change", after: entries[0]!.change, limit: 1 }), {
      entries: after,
      more: false,
    });
  });

  test("pages by key, tombstones too", async (store) => {
    const paths = Array.from({ length: 60 }, (_, at) => `/${at}/\u{1f4f7}`);
    for (const [at, path] of paths.entries()) {
      if (at % 3 === 0) await store.put(tombstone(path, versionOf(at + 1)));
      else await write(store, path, versionOf(at + 1), pattern(3));
    }
    const inOrder = paths.toSorted((a, b) => pathKey(a) - pathKey(b));
    const everyPage = async (query: Omit<ListQuery & { by: "key" }, "by">) => {
      const found: string[] = [];
      for (let after = query.after, more = true; more;) {
        const page = await store.list({ by: "key", ...query, ...(after && { after }) });
        assert(page.entries.length <= query.limit);
        found.push(...page.entries.map(({ manifest }) => manifest.path));
        const last = page.entries.at(-1)?.manifest.path;
        if (last) after = { key: pathKey(last), path: last };
        more = page.more;
      }
      return found;
    };
    for (const limit of [1, 7, 60, 100]) {
      assertEquals(await everyPage({ from: 0, to: KEYS, limit }), inOrder, `${limit} a page`);
    }
    const [from, to] = [pathKey(inOrder[10]!), pathKey(inOrder[30]!)];
    assertEquals(await everyPage({ from, to, limit: 6 }), inOrder.slice(10, 30), "from, but not to");
    assertEquals(await everyPage({ from: from + 1, to: to + 1, limit: 6 }), inOrder.slice(11, 31));
    assertEquals(await everyPage({ from, to: from, limit: 6 }), []);
    // Two paths of one key are too rare to be found; but what stands behind any path of the key can be asked for.
    assertEquals(await everyPage({ from, to, limit: 6, after: { key: from, path: "" } }), inOrder.slice(10, 30));
    assertEquals(
      await everyPage({ from, to, limit: 6, after: { key: from, path: "\u{10ffff}" } }),
      inOrder.slice(11, 30),
    );
    const { entries: [first] } = await store.list({ by: "key", from: pathKey(paths[0]!), to: KEYS, limit: 1 });
    assertEquals(first!.manifest, await store.get(paths[0]!));
  });

  test("who names a body", async (store) => {
    const bytes = pattern(10);
    const query = { by: "body", sha256: sha256(bytes), limit: 2 } as const;
    const paths = async () => (await store.list(query)).entries.map(({ manifest }) => manifest.path);
    assertEquals(await paths(), []);
    for (const path of ["/c", "/a", "/b"]) await write(store, path, versionOf(1), bytes);
    assertEquals(await paths(), ["/a", "/b"]);
    assertEquals((await store.list(query)).more, true);
    await store.put(tombstone("/a", versionOf(2)));
    await write(store, "/b", versionOf(2), pattern(11));
    assertEquals(await paths(), ["/c"]);
    assertEquals((await store.list(query)).more, false);
  });

  test("what is forgotten is as if it had never been, if it has that very version", async (store) => {
    const manifest = await write(store, "/a", versionOf(5, 1, "a"), pattern(10));
    for (const version of [versionOf(5, 1, "b"), versionOf(5, 2, "a"), versionOf(4, 1, "a")]) {
      assertEquals(await store.forget("/a", version), false);
    }
    assertEquals(await store.forget("/none", versionOf(5, 1, "a")), false);
    assertEquals(await store.get("/a"), manifest);
    assertEquals(await store.forget("/a", versionOf(5, 1, "a")), true);
    assertEquals(await store.get("/a"), null);
    for (const query of [{ by: "path", tombstones: true }, { by: "change", after: 0 }] as const) {
      assertEquals((await store.list({ ...query, limit: 9 })).entries, []);
    }
    assertEquals(await store.forget("/a", versionOf(5, 1, "a")), false);
    assertEquals(await read(store, manifest.sha256), pattern(10), "within its grace");
    // What a tombstone was kept against may come now.
    await store.put(tombstone("/b", versionOf(9)));
    assertEquals(await store.forget("/b", versionOf(9)), true);
    assertEquals(await store.put(tombstone("/b", versionOf(8))), true);
  });

  test("a signature stays with its manifest, and may come later, but is not put in another's place", async (store) => {
    const [first, second] = [1, 2].map((byte) => new Uint8Array(64).fill(byte).toBase64()) as [string, string];
    const unsigned = await write(store, "/a", versionOf(1), pattern(10));
    const [before] = (await store.list({ by: "change", after: 0, limit: 9 })).entries;
    assertEquals(await store.put({ ...unsigned, name: "else", signature: first }), true);
    assertEquals(await store.get("/a"), unsigned, "it signs something else");
    assertEquals(await store.put({ ...unsigned, signature: first }), true);
    assertEquals(await store.get("/a"), { ...unsigned, signature: first });
    const [after] = (await store.list({ by: "change", after: before!.change, limit: 9 })).entries;
    assertEquals(after?.manifest.signature, first, "others hear of it");
    for (const other of [{ ...unsigned, signature: second }, unsigned]) assertEquals(await store.put(other), true);
    assertEquals((await store.get("/a"))!.signature, first);
    const grave = { ...tombstone("/a", versionOf(2)), signature: second };
    await store.put(grave);
    assertEquals(await store.get("/a"), grave);
    assertEquals((await store.list({ by: "path", tombstones: true, limit: 9 })).entries[0]!.manifest, grave);
  });

  test("writes of one path at the same time leave the newest", async (store) => {
    const bodies = Array.from({ length: 20 }, (_, at) => pattern(50, at));
    await Promise.all(bodies.map(async (bytes, at) => {
      await store.stage(chunksOf(bytes));
      await store.put(manifestOf("/a", versionOf(1 + (at * 7) % 20), bytes));
    }));
    const manifest = await store.get("/a");
    assertEquals(manifest!.version.wallMs, 20);
    assertEquals(await read(store, manifest!.sha256), bodies.find((_, at) => 1 + (at * 7) % 20 === 20));
  });

  test("what a caller does to what it got changes nothing here", async (store) => {
    const manifest = await write(store, "/a", versionOf(1), pattern(10));
    const got = (await store.get("/a"))!;
    got.meta.author = "Eve";
    got.size = 1;
    (await store.list({ by: "path", limit: 1 })).entries[0]!.manifest.path = "/b";
    assertEquals(await store.get("/a"), manifest);
  });

  for (const name of Object.keys(skip)) {
    if (!names.has(name)) throw new TypeError(`There is no case "${name}" to skip`);
  }
}
