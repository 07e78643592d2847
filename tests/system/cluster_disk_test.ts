/** Disks that fill up, and disks that rot. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { sha256 } from "../../runtime/signature.ts";
import { placeOf, rot } from "../kit/body_place.ts";
import { eventually } from "../kit/mod.ts";
import { fillDisk, noSmallDisk, onSmallDisk } from "../kit/small_disk.ts";
import { Chance } from "./cluster/chance.ts";
import { type Node, PATIENCE_MS } from "./cluster/node.ts";
import { look } from "./cluster/reading.ts";
import { startWorld, telling, whole } from "./cluster/world.ts";
import { put, Session } from "./cluster/writing.ts";

const name = (what: string) => noSmallDisk === null ? what : `${what} (skipped: ${noSmallDisk})`;
const MIB = 1 << 20;

async function readsEverywhere(nodes: readonly Node[], objects: ReadonlyMap<string, string>): Promise<void> {
  for (const node of nodes) {
    for (const [path, digest] of objects) {
      let seen = await look(node.url + path);
      // An error may cost a reader one retry; wrong bytes are none.
      if ("error" in seen) seen = await look(node.url + path);
      assertEquals(seen, { state: digest }, `${path} at ${node.id}`);
    }
  }
}

for (const toTheLastByte of [false, true]) {
  Deno.test({
    name: name(
      toTheLastByte
        ? "a disk that others fill to the last byte: its server serves all, takes nothing, and heals"
        : "a disk that content fills: its server serves all, takes nothing, and heals",
    ),
    ignore: noSmallDisk !== null,
    async fn() {
      await onSmallDisk("24m", async (folder) => {
        await using world = await startWorld(3, (id) => ({
          flags: ["--heartbeat", "300", "--hot-size", "0", "--min-free", id === "c" ? "4MiB" : "0"],
          ...(id === "c" && { data: join(folder, "c") }),
        }));
        const [a, b, c] = world.nodes as [Node, Node, Node];
        await telling(world.nodes, async () => {
          const chance = new Chance(3);
          const objects = new Map<string, string>();
          const write = async (node: Node, path: string, size: number) => {
            const bytes = chance.bytes(size);
            const { status, text } = await put(node, path, bytes);
            assertEquals(status, 201, text);
            objects.set(path, sha256(bytes));
          };
          for (let at = 0; at < 5; at++) await write(c, `/before/${at}`, 100_000);
          await whole(world.nodes);
          if (toTheLastByte) await fillDisk(join(folder, "other"));
          // More than it has room for; nobody waits for it.
          for (let at = 0; at < 26; at++) await write(at % 2 ? a : b, `/others/${at}`, MIB);
          await eventually(async () => (await put(c, "/here", chance.bytes(MIB))).status === 507, {
            what: "the full server refusing",
            deadlineMs: PATIENCE_MS,
          });
          const session = await Session.open(c, "/session", chance.bytes(MIB)).catch((error) => error);
          if (session instanceof Session) {
            const refused = await session.send(MIB).then(() => session.commit(), (error) => error.answer);
            assertEquals(refused.status, 507, refused.text);
          } else assertEquals(session.answer.status, 507, String(session));
          await readsEverywhere([a, b], objects);
          // Where not even a name has room, it does not know what the others have taken: there a proxy asks them.
          const known = new Map([...objects].filter(([path]) => !toTheLastByte || path.startsWith("/before/")));
          await readsEverywhere([c], known);
          // The others say what it lacks.
          await eventually(async () => {
            const { health } = (await a.servers()).find(({ id }) => id === "c")!;
            return health!.lagObjects > 0n;
          }, { what: "its lag", deadlineMs: PATIENCE_MS });

          // To start, it must be able to write down that it did.
          if (!toTheLastByte) {
            await c.kill();
            await c.start([a.url]);
            await c.whenReady();
            await readsEverywhere([c], known);
          }

          if (toTheLastByte) await Deno.remove(join(folder, "other"));
          await remount(folder, "96m");
          await whole(world.nodes);
          await a.kill();
          await b.kill();
          await readsEverywhere([c], objects);
        });
      });
    },
  });
}

Deno.test("bytes that rot, while the server runs and while it is down: never read, set aside, fetched again", async () => {
  await using world = await startWorld(3, () => ({
    flags: ["--heartbeat", "300", "--hot-size", "0", "--scrub-rate", "64MiB"],
  }));
  const [a, b, c] = world.nodes as [Node, Node, Node];
  await telling(world.nodes, async () => {
    const chance = new Chance(4);
    const objects = new Map<string, string>();
    for (let at = 0; at < 12; at++) {
      const bytes = chance.bytes(chance.size(1 << 10, 3 * MIB));
      assertEquals((await put(a, `/f/${at}`, bytes)).status, 201);
      objects.set(`/f/${at}`, sha256(bytes));
    }
    await whole(world.nodes);
    const digests = [...objects.values()];
    for (const digest of digests.slice(0, 4)) rotBody(b, digest);
    await readsEverywhere(world.nodes, objects);
    await b.kill();
    for (const digest of digests.slice(4, 8)) rotBody(b, digest);
    await b.start([c.url]);
    await b.whenReady();
    await readsEverywhere(world.nodes, objects);
    await whole(world.nodes);
    // Now its own disk must have them again.
    await a.kill();
    await c.kill();
    await readsEverywhere([b], objects);
    for (const digest of digests.slice(0, 8)) assertMatch(b.log(), new RegExp(`sha256=${digest}`), "it says so");
  });
});

/** Turns a few bits of a body on disk. */
function rotBody(node: Node, digest: string): void {
  const { file, at, size } = placeOf(join(node.data, "store"), digest);
  for (const offset of new Set([0, Math.floor(size / 2), size - 1])) rot(file, at + offset);
}

async function remount(folder: string, size: string): Promise<void> {
  const { success } = await new Deno.Command("mount", { args: ["-o", `remount,size=${size}`, folder] }).output();
  assert(success);
}
