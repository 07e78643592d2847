import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import fc from "fast-check";
import { CdnError, type Version } from "../../../proto/mod.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { memoryPurgeLog, openPurgeLog, type PurgeLog } from "../../../server/purge/mod.ts";
import { type Purge, purgeKey } from "../../../server/purge/purge.ts";
import { parseStamp, stampText } from "../../../server/purge/stamp.ts";
import { tempDir } from "../../kit/mod.ts";

const keeping = { keepMs: 1000, mostPurges: 100, mostBytes: 1 << 20 };
const quiet = { now: () => 1, log: silentLogger };
const version = (wallMs: number, server = "a"): Version => ({ wallMs, counter: 0, server });
const purge = (wallMs: number, keys = [`/${wallMs}`], soft = false): Purge => ({
  version: version(wallMs),
  selection: { keys, prefixes: ["/p"], tags: ["t"] },
  soft,
});

function places(log: PurgeLog, after = 0, limit = 1000): number[] {
  return log.after(after, limit).versions.map(({ wallMs }) => wallMs);
}

Deno.test("a log keeps purges in the order in which they came, over a restart, and gives no place twice", async () => {
  await using folder = await tempDir();
  const file = join(folder.path, "purges.sqlite");
  let log = await openPurgeLog(file, keeping, quiet);
  const { id } = log;
  assertEquals([log.head, places(log), log.currentMs, log.floor], [0, [], 0, { place: 0, ms: 0 }]);
  for (const ms of [5, 3, 9]) assert(log.add(purge(ms, ["/x"], ms === 3), 100));
  assert(!log.add(purge(3), 100), "known");
  await assertRejects(() => openPurgeLog(file, keeping, quiet), CdnError, "another process");
  log.settle(version(3), 7);
  log.saveCursor("b", { log: "of-b", place: 4 });
  log.saveCurrent(123);
  log.close();

  log = await openPurgeLog(file, keeping, quiet);
  assertEquals([log.id, log.head, places(log), log.currentMs], [id, 3, [5, 3, 9], 123]);
  assertEquals([log.cursor("b"), log.cursor("c")], [{ log: "of-b", place: 4 }, null]);
  assertEquals(log.get(version(3)), purge(3, ["/x"], true));
  assertEquals([log.get(version(4)), log.get(version(3, "b"))], [null, null]);
  assertEquals([log.removed(version(3)), log.removed(version(5)), log.removed(version(4))], [7, null, null]);
  assertEquals(log.unsettled().map(({ version }) => version.wallMs), [5, 9]);
  assertEquals([places(log, 1), places(log, 3), places(log, 0, 2)], [[3, 9], [], [5, 3]]);
  assertEquals([log.after(0, 2).next, log.after(2, 2).next], [2, 3]);

  for (const ms of [5, 9]) log.settle(version(ms), 0);
  log.prune(1101);
  assertEquals([places(log), log.floor], [[], { place: 3, ms: 100 }]);
  log.close();
  log = await openPurgeLog(file, keeping, quiet);
  assertEquals([log.head, log.floor], [3, { place: 3, ms: 100 }]);
  log.add(purge(1), 1200);
  assertEquals(log.head, 4);
  log.close();
});

Deno.test("a log that is damaged is set aside, and a new one begins", async () => {
  await using folder = await tempDir();
  const file = join(folder.path, "purges.sqlite");
  await Deno.writeTextFile(file, "this is no database, whatever its name says".repeat(100));
  const log = await openPurgeLog(file, keeping, quiet);
  assertEquals([log.head, log.currentMs], [0, 0]);
  log.close();
  assertEquals([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
    "purges.sqlite",
    "purges.sqlite.broken-1",
  ]);
});

Deno.test("a log stays within its bounds, whatever comes, and forgets nothing that is to be done yet", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ waitMs: fc.nat(400), names: fc.nat(20), settles: fc.boolean() }), { maxLength: 40 }),
      async (steps) => {
        const log = await memoryPurgeLog({ keepMs: 1000, mostPurges: 5, mostBytes: 1000 });
        try {
          let nowMs = 1_000_000;
          const [due, all]: [number[], { ms: number; atMs: number; bytes: number }[]] = [[], []];
          for (const { waitMs, names, settles } of steps) {
            nowMs += waitMs + 1;
            const one = purge(nowMs, Array.from({ length: names }, (_, at) => `/${at}`));
            log.add(one, nowMs);
            if (settles) log.settle(one.version, 1);
            else due.push(nowMs);
            all.push({ ms: nowMs, atMs: nowMs, bytes: names });
            const kept = places(log);
            assertEquals(log.unsettled().map(({ version }) => version.wallMs), due);
            const done = kept.filter((ms) => !due.includes(ms) && ms !== nowMs);
            assert(done.every((ms) => ms >= nowMs - 1000), "none is too old");
            assert(done.length === 0 || kept.length <= 5, "there are not too many");
            const gone = all.filter(({ ms }) => !kept.includes(ms));
            assertEquals(log.floor.ms, Math.max(0, ...gone.map(({ atMs }) => atMs)));
          }
        } finally {
          log.close();
        }
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("the key of a URL is its path and query as they stand", () => {
  const table: [string, string][] = [
    ["/", "/"],
    ["/a?b=c#d", "/a?b=c"],
    ["/a#", "/a"],
    ["//a/../%2f?x=http://y", "//a/../%2f?x=http://y"],
    ["http://h/a%20b", "/a%20b"],
    ["HTTPS://h:1", "/"],
    ["https://h?q", "/?q"],
    ["https://h#f", "/"],
    ["https://u@h/x??y", "/x??y"],
  ];
  for (const [url, key] of table) assertEquals(purgeKey(url), key, url);
});

Deno.test("a stamp reads as it was written", () => {
  const stamp = { id: "edge-1.x", log: crypto.randomUUID(), head: 2 ** 45 };
  assertEquals(parseStamp(stampText(stamp)), stamp);
  for (const text of ["", "a", "a;log=b", "a;log=b;head=", "a b;log=c;head=1", "a;log=b;head=1 "]) {
    assertEquals(parseStamp(text), null, text);
  }
});
