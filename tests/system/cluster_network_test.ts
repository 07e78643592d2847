/** Servers on machines of their own, between which the network breaks. */
import { assert, assertEquals } from "@std/assert";
import { sha256 } from "../../runtime/signature.ts";
import { eventually } from "../kit/mod.ts";
import { Chance } from "./cluster/chance.ts";
import { type Machine, makeNets, noNets } from "./cluster/nets.ts";
import { type Node, PATIENCE_MS } from "./cluster/node.ts";
import { sees, startWorld, telling, whole } from "./cluster/world.ts";
import { ask, put, remove, Session } from "./cluster/writing.ts";

const name = (what: string) => noNets === null ? what : `${what} (skipped: ${noNets})`;
const chance = new Chance(7);
const secrets = { token: "a-token-for-the-test", clusterKey: "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoyMzQ1Njc=" };

async function world(machines: readonly Machine[]) {
  return await startWorld(machines.length, (_, at) => {
    const { within, address, ourAddress } = machines[at]!;
    return {
      ...secrets,
      within,
      listen: "0.0.0.0:8080",
      url: `http://${ourAddress}:8080`,
      flags: ["--url", `http://${address}:8080`, ...["--heartbeat", "300", "--copies-timeout", "2000"]],
    };
  }, { peerUrl: `http://${machines[0]!.address}:8080` });
}

async function digestAt(node: Node, path: string): Promise<string | number> {
  const answer = await node.fetch(path);
  const bytes = await answer.bytes();
  return answer.status === 200 ? sha256(bytes) : answer.status;
}

async function written(answer: Promise<{ status: number; text: string }>): Promise<void> {
  const { status, text } = await answer;
  assert([200, 201, 204].includes(status), `${status} ${text}`);
}

Deno.test({
  name: name("a server that is cut off acknowledges nothing, and commits cheaply once it is back"),
  ignore: noNets !== null,
  async fn() {
    await using nets = await makeNets(4);
    await using all = await world(nets.machines);
    const [a, b, , d] = all.nodes as [Node, Node, Node, Node];
    await telling(all.nodes, async () => {
      const old = chance.bytes(50_000);
      for (const path of ["/kept", "/deleted", "/both"]) await written(put(b, path, old));
      await whole(all.nodes);

      await nets.machines[3]!.link("down");
      const [ours, theirs, large] = [chance.bytes(70_000), chance.bytes(80_000), chance.bytes(700_000)];
      const alone = await put(d, "/alone", ours);
      assertEquals([alone.status, alone.headers.get("metacdn-copies")], [503, "1"], alone.text);
      assert(Number(alone.headers.get("retry-after")) > 0);
      const session = await Session.open(d, "/large", large);
      await session.send(256 << 10);
      const early = await session.commit();
      assertEquals([early.status, early.headers.get("metacdn-copies")], [503, "1"], early.text);
      assert(Number(early.headers.get("retry-after")) > 0);
      const refusedDelete = await remove(d, "/kept");
      assertEquals([refusedDelete.status, refusedDelete.headers.get("metacdn-copies")], [503, "1"]);
      // It has begun all the same: who wants the object back must write it.
      assertEquals((await put(d, "/kept", old)).status, 503);

      // Meanwhile the others go on, and what d has written and nobody acknowledged may be overruled by them.
      await written(put(a, "/theirs", theirs));
      await written(remove(b, "/deleted"));
      await written(put(b, "/both", theirs));
      await sees(all.nodes.slice(0, 3), "d", "dead");
      await sees([d], "a", "dead", "suspect", "unknown");
      assertEquals(await digestAt(d, "/both"), sha256(old), "it goes on serving what it has");

      await nets.machines[3]!.link("up");
      // The same session, no byte sent again.
      const late = await eventually(async () => {
        const answer = await session.commit();
        if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
        return answer;
      }, { what: "the commit after healing", deadlineMs: PATIENCE_MS, everyMs: 500 });
      assert(JSON.parse(late.text).copies >= 2, late.text);
      await whole(all.nodes);
      for (const node of all.nodes) {
        assertEquals(await digestAt(node, "/kept"), sha256(old), node.id);
        assertEquals(await digestAt(node, "/deleted"), 404, node.id);
        assertEquals(await digestAt(node, "/theirs"), sha256(theirs), node.id);
        assertEquals(await digestAt(node, "/both"), sha256(theirs), node.id);
        // It was kept and went on spreading, as it said.
        assertEquals(await digestAt(node, "/alone"), sha256(ours), node.id);
        assertEquals(await digestAt(node, "/large"), sha256(large), node.id);
      }
    });
  },
});

Deno.test({
  name: name("two halves both go on, and become one again: the newest write wins, deletes stay"),
  ignore: noNets !== null,
  async fn() {
    await using nets = await makeNets(4);
    await using all = await world(nets.machines);
    const [a, b, c, d] = all.nodes as [Node, Node, Node, Node];
    await telling(all.nodes, async () => {
      const old = chance.bytes(60_000);
      for (let at = 0; at < 4; at++) await written(put(all.nodes[at]!, `/old${at}`, old));
      await whole(all.nodes);
      await Promise.all(nets.machines.slice(2).map((machine) => machine.side(1)));
      await sees([a], "c", "dead");
      await sees([d], "a", "dead");
      const states = new Map<string, string | number>();
      for (let at = 0; at < 10; at++) {
        for (const node of all.nodes) {
          const bytes = chance.bytes(chance.size(1 << 10, 200_000));
          await written(put(node, `/${node.id}/${at}`, bytes));
          states.set(`/${node.id}/${at}`, sha256(bytes));
        }
      }
      // The same path on both sides: the later one counts.
      const [first, last] = [chance.bytes(1000), chance.bytes(2000)];
      await written(put(a, "/same", first));
      await written(put(c, "/same", last));
      states.set("/same", sha256(last));
      // Deleted on one side, after it was overwritten on the other.
      await written(put(d, "/old0", first));
      await written(remove(b, "/old0"));
      states.set("/old0", 404);
      await written(remove(c, "/old1"));
      states.set("/old1", 404);
      // Deleted first, written later.
      await written(remove(a, "/old2"));
      await written(put(d, "/old2", last));
      states.set("/old2", sha256(last));
      assertEquals((await ask(b, "/d/1")).status, 404, "the network is broken");

      await Promise.all(nets.machines.slice(2).map((machine) => machine.side(0)));
      await whole(all.nodes);
      for (const [path, state] of states) {
        for (const node of all.nodes) assertEquals(await digestAt(node, path), state, `${path} at ${node.id}`);
      }
    });
  },
});
