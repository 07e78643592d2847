/** A server that begins with nothing: a restart in the middle costs nothing, bodies come from all, best from the best. */
import { assert, assertEquals } from "@std/assert";
import type { Manifest } from "../../../proto/mod.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { Filler } from "../../../server/cluster/fill.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import { clusterSettings } from "../../../server/cluster/settings.ts";
import { openDiskStore } from "../../../server/store/mod.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { live, stampOf, START, VirtualTime } from "./catalog_kit.ts";
import { type Fault, type Node, noise, startNode, until, untilJoined } from "./node.ts";

const COUNT = 40;
const SIZE = 100_000;

const digestOf = (request: Request) => /\/peer\/bodies\/([0-9a-f]{64})$/.exec(request.url)?.[1];

/** How many of the objects a server holds. */
async function heldBy(node: Node): Promise<number> {
  return (await node.store.list({ by: "path", limit: 10_000 })).entries.length;
}

async function fill(node: Node): Promise<void> {
  for (let at = 0; at < COUNT; at++) await node.put(`/${at}`, noise(SIZE, at + 1));
}

/** Counts the bodies that are given whole, and lets `may` say whether one is. */
function counting(sent: Map<string, number>, may: () => boolean = () => true): Fault {
  return async (request, answer) => {
    const sha256 = digestOf(request);
    if (!sha256) return await answer();
    if (!may()) return new Response(null, { status: 503 });
    sent.set(sha256, (sent.get(sha256) ?? 0) + 1);
    return await answer();
  };
}

Deno.test("a restart when half of the bodies are there: none of them is fetched twice", async () => {
  const sent = new Map<string, number>();
  let left = COUNT / 2;
  await using a = await startNode("a", { fault: counting(sent, () => left-- > 0) });
  await fill(a);
  // However slow the machine is: no body is given up and asked for again.
  await using b = await startNode("b", { peers: [a.url], settings: { pullIdleMs: 60_000 } });
  await until("half is there", async () => await heldBy(b) === COUNT / 2);
  assertEquals(b.cluster.progress().wantedObjects, COUNT / 2);
  const before = new Set(
    (await b.store.list({ by: "path", limit: COUNT })).entries.map(({ manifest }) => manifest.sha256),
  );
  await b.stop();
  sent.clear();
  left = Infinity;
  await b.start([]);
  await until("all is there", async () => await heldBy(b) === COUNT);
  // (A request that the end of the process cut off may still arrive, and is made again.)
  assertEquals([...sent.keys()].filter((sha256) => before.has(sha256)), []);
  assertEquals(sent.size, COUNT / 2);
});

Deno.test("a body that came in the meantime is not fetched again for whoever asks late", async () => {
  const sent = new Map<string, number>();
  await using a = await startNode("a", { fault: counting(sent) });
  const manifest = await a.put("/x", noise(SIZE));
  await using b = await startNode("b", { peers: [a.url], settings: { pullIdleMs: 60_000 } });
  await until("b has it", async () => await heldBy(b) === 1);
  const late = await b.cluster.fetchBody(manifest, { start: 0, end: SIZE });
  assertEquals(await new Response(late).bytes(), noise(SIZE));
  assertEquals(sent.get(manifest.sha256), 1);
});

Deno.test("a restart when half of the index is there: what was learned is not asked for again", async () => {
  const count = 1400;
  const settings = { repairBackoff: { leastMs: 10, mostMs: 50 } };
  let pages = 1;
  let told = 0;
  // On disk: there a page by key is a range of an index.
  await using dir = await tempDir();
  const open = (name: string) =>
    openDiskStore({ folder: `${dir.path}/${name}`, minFreeBytes: 0, scrubBytesPerSecond: 0 });
  await using ofA = await open("a");
  await using ofB = await open("b");
  await using a = await startNode("a", {
    store: ofA,
    // It only answers, and tells nothing by itself.
    fetch: (...given) =>
      /peer\/(tree|offers)/.test(String(given[0])) ? Promise.reject(new TypeError("not now")) : fetch(...given),
    fault: async (request, answer) => {
      if (!request.url.endsWith("/peer/manifests")) return await answer();
      if (pages-- <= 0) return new Response(null, { status: 503 });
      const response = await answer();
      told += ((await response.clone().json()).manifests ?? []).length;
      return response;
    },
  });
  const { sha256, size } = await a.put("/first", "the same bytes");
  const writtenMs = Date.now();
  for (let at = 1; at < count; at++) {
    const version = { wallMs: writtenMs, counter: at, server: "a" };
    await a.store.put(a.cluster.sign({ ...live(`/${at}`, version), sha256, size }));
  }
  await using b = await startNode("b", { peers: [a.url], settings, store: ofB });
  await until("a page is there", () => b.cluster.progress().objects > 0 && pages < 0);
  const learned = b.cluster.progress().objects;
  assert(learned < count, `${learned}`);
  await b.stop();
  told = 0;
  pages = Infinity;
  await b.start([]);
  await until("all is known", () => b.cluster.progress().objects === count);
  // What lies beside the place where the first page ended is told in the node that it ended in.
  assert(told <= count - learned + 200, `${told} manifests were told where ${count - learned} were not known`);
});

Deno.test("bodies come from all peers that have them, each once", async () => {
  const sent = { a: new Map<string, number>(), c: new Map<string, number>() };
  await using a = await startNode("a", { fault: counting(sent.a) });
  await fill(a);
  await using c = await startNode("c", { peers: [a.url] });
  await until("c has all", async () => await heldBy(c) === COUNT);
  sent.a.clear();
  c.fault = counting(sent.c);
  await using b = await startNode("b", { peers: [a.url], settings: { pullIdleMs: 60_000 } });
  await until("b has all", async () => await heldBy(b) === COUNT);
  assert(sent.a.size > 0 && sent.c.size > 0, `${sent.a.size} from a, ${sent.c.size} from c`);
  assertEquals(sent.a.size + sent.c.size, COUNT);
});

Deno.test("where one peer is slow, most comes from the other", async () => {
  const sent = { a: new Map<string, number>(), c: new Map<string, number>() };
  await using a = await startNode("a");
  await fill(a);
  await using c = await startNode("c", { peers: [a.url] });
  await until("c has all", async () => await heldBy(c) === COUNT);
  const slow = counting(sent.a);
  a.fault = async (request, answer) => {
    await new Promise((resolve) => setTimeout(resolve, 250));
    return await slow(request, answer);
  };
  c.fault = counting(sent.c);
  // Nothing is fetched before the links were measured.
  await using b = await startNode("b", { peers: [c.url], settings: { fillsAtOnce: 4 } });
  await untilJoined(b, c, a);
  await until("b has all", async () => await heldBy(b) === COUNT);
  assert(sent.c.size >= COUNT * 0.75, `${sent.a.size} from the slow one, ${sent.c.size} from the other`);
});

Deno.test("the rate of the background is kept, to a second's worth, and large bodies pay back what they took", async () => {
  const rate = 1_000_000;
  const time = new VirtualTime();
  const ledger = new MemoryLedger();
  const begun: { atMs: number; size: number }[] = [];
  const sizes = [...Array(20).fill(300_000), 3_500_000, ...Array(10).fill(100_000)];
  const manifests = sizes.map((size, at): Manifest => ({
    ...live(`/${at}`, stampOf(START)),
    size,
    sha256: at.toString(16).padStart(64, "0"),
  }));
  for (const manifest of manifests) ledger.wanted.set(manifest);
  const stop = new AbortController();
  const filler = new Filler({
    onMissing: () => {},
    wanted: ledger.wanted,
    puller: {
      pull: (_sha256, size) => Promise.resolve(void begun.push({ atMs: time.nowMs - START, size })),
      alsoAt: () => {},
      together: () => Promise.resolve(),
    },
    settle: (sha256) => {
      for (const { path, version } of ledger.wanted.byBody(sha256)) ledger.wanted.remove(path, version);
      return Promise.resolve();
    },
    settings: clusterSettings({ syncBytesPerSecond: rate }),
    now: time.now,
    random: () => 0.5,
    schedule: time.schedule,
    log: silentLogger,
    signal: stop.signal,
  });
  filler.start();
  await time.pass(60_000);
  assertEquals(begun.length, sizes.length);
  let bytes = 0;
  for (const { atMs, size } of begun) {
    // What was begun before is within the rate; only the one that begins now may go beyond it.
    assert(bytes <= rate * (atMs / 1000 + 1), `${bytes} bytes by ${atMs} ms`);
    bytes += size;
  }
  const lastMs = begun.at(-1)!.atMs;
  assert(lastMs >= (bytes - rate) / rate * 1000 - 1000, `${bytes} bytes in ${lastMs} ms`);
  stop.abort();
  await time.pass(0);
  await filler.ended();
});
