/** What operators see and do: the commands of a user against real servers. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { runToEnd } from "../cli/program.ts";
import { eventually } from "../kit/mod.ts";
import { type Node, PATIENCE_MS } from "./cluster/node.ts";
import { sees, startWorld, telling, whole } from "./cluster/world.ts";
import { put } from "./cluster/writing.ts";

const clouds = ["aws", "azure", "gcp"];
const shape = (_: string, at: number) => ({
  flags: [
    ...["--heartbeat", "300", "--provider", clouds[at % 3]!, "--region", `r${at}`],
    ...["--label", `jurisdiction=${at < 3 ? "de" : "us"}`, "--label", `operator=op${at % 2}`],
  ],
});

function run(command: string, nodes: readonly Node[], ...args: string[]) {
  return runToEnd(command, [...args, "--server", nodes.map(({ url }) => url).join(",")]);
}

/** What the doctor finds, a line each: `bad`, `warn`, `ok`. */
async function examined(nodes: readonly Node[]): Promise<{ code: number; lines: string[] }> {
  const { code, stdout, stderr } = await run("doctor", nodes);
  assertEquals(stderr, "");
  return { code, lines: stdout.trim().split("\n") };
}

Deno.test("five servers in two jurisdictions: the list, the doctor, a death, a goodbye, a drain, a removal", async () => {
  await using world = await startWorld(5, shape);
  const { nodes } = world;
  const [a, b, , , e] = nodes as [Node, Node, Node, Node, Node];
  const rest = nodes.slice(0, 4);
  await telling(nodes, async () => {
    for (let at = 0; at < 10; at++) assertEquals((await put(b, `/x${at}`, new Uint8Array(1000 + at))).status, 201);
    await whole(nodes);

    const list = await run("servers", [a]);
    assertEquals(list.code, 0, list.stderr);
    for (const { id, url } of nodes) assertMatch(list.stdout, new RegExp(`^${id} +${url} .* (self|alive) .* - `, "m"));
    const healthy = await examined([a, b]);
    // The test has but one machine; nothing else is to be said.
    assertEquals(healthy.lines.filter((line) => !/^ok |^warn +.* are on one machine/.test(line)), []);
    assertEquals(healthy.code, 0);

    await e.kill();
    await sees(rest, "e", "dead");
    const bereft = await examined([a, b]);
    assertEquals(bereft.code, 1);
    assertEquals(bereft.lines.filter((line) => line.startsWith("bad")).length, 1, bereft.lines.join("\n"));
    assertMatch(bereft.lines[0]!, /^bad +e is dead/);
    assert(bereft.lines.some((line) => /^warn +e could not be asked/.test(line)), bereft.lines.join("\n"));
    assert(bereft.lines.some((line) => /^ok +4 origins can take uploads/.test(line)), bereft.lines.join("\n"));
    await e.start([b.url]);
    await whole(nodes);

    assertEquals(await e.stop(), 0);
    await sees(rest, "e", "left");
    const left = await examined([a, b]);
    assertEquals(left.code, 0, left.lines.join("\n"));
    assert(left.lines.some((line) => /^warn +e was stopped/.test(line)), left.lines.join("\n"));
    await e.start([a.url]);
    await sees(rest, "e", "alive");
    await whole(nodes);

    const drained = await run("servers", [a], "drain", "e");
    assertEquals([drained.code, drained.stdout], [
      0,
      "e may be removed: all that it holds is elsewhere (metacdn servers remove e)\n",
    ], drained.stderr);
    await eventually(async () => (await put(e, "/refused", new Uint8Array(1))).status === 503, { what: "draining" });
    assertEquals((await (await e.fetch("/x1")).bytes()).length, 1001, "it still hands out what it has");
    const removed = await run("servers", [a], "remove", "e");
    assertEquals([removed.code, removed.stdout], [0, "e is off the list\n"], removed.stderr);
    await sees(rest, "e", "");
    await whole(rest);
    assertEquals((await examined([a, b])).code, 0);
    // By its address it is let in again, and lacks nothing of what came meanwhile.
    assertEquals((await put(a, "/meanwhile", new Uint8Array(7))).status, 201);
    const added = await run("servers", [a], "add", e.url);
    assertEquals(added.code, 0, added.stderr);
    const undrained = await run("servers", [a], "undrain", "e");
    assertEquals(undrained.code, 0, undrained.stderr);
    await whole(nodes);
    assertEquals((await (await e.fetch("/meanwhile")).bytes()).length, 7);
    await eventually(async () => (await put(e, "/again", new Uint8Array(1))).status < 300, { what: "taking writes" });
  });
});

Deno.test("what one server holds alone is named, and it may not be removed", async () => {
  await using world = await startWorld(3, (id, at) => ({
    flags: [...shape(id, at).flags, "--min-copies", "1"],
  }));
  const { nodes } = world;
  const [a, b, c] = nodes as [Node, Node, Node];
  await telling(nodes, async () => {
    assertEquals((await put(a, "/old", new Uint8Array(10))).status, 201);
    await whole(nodes);
    await a.kill();
    await b.kill();
    await sees([c], "a", "dead");
    await sees([c], "b", "dead");
    for (const path of ["/alone/1", "/alone/2"]) {
      const alone = await put(c, path, new Uint8Array(100_000).fill(path.charCodeAt(7)));
      assertEquals([alone.status, alone.headers.get("metacdn-copies")], [201, "1"]);
    }
    const found = await examined([c]);
    assertEquals(found.code, 1);
    assert(found.lines.some((line) => /^bad +if c vanished/.test(line)), found.lines.join("\n"));

    // They come back and know of both; a byte a second lets one of the two in, at most.
    await a.start([c.url], ["--sync-rate", "1"]);
    await b.start([c.url], ["--sync-rate", "1"]);
    await a.whenReady();
    await b.whenReady();
    const risk = await eventually(async () => {
      const { risks, unasked } = await a.durability();
      return unasked.length > 0 ? null : risks.find(({ kind, name }) => kind === "server" && name === "c");
    }, { what: "the risk being named", deadlineMs: PATIENCE_MS });
    assertMatch(risk.examples.join(), /\/alone\/[12]/);
    const named = await examined([a]);
    assertEquals(named.code, 1);
    assert(
      named.lines.some((line) => /^bad +if c vanished .*no other server.*\/alone\/[12]/.test(line)),
      named.lines.join("\n"),
    );
    const refused = await run("servers", [a], "remove", "c");
    assertEquals(refused.code, 1);
    assertMatch(refused.stderr, /Cannot remove c: (1 object|2 objects) .* on no other server, such as \/alone\/[12]/);
    for (const node of [a, b]) {
      await node.stop();
      await node.start([c.url]);
    }
    await whole(nodes);
    const healed = await examined([a]);
    assertEquals(healed.code, 0, healed.lines.join("\n"));
    assert(!healed.lines.some((line) => /if [abc] vanished/.test(line)), healed.lines.join("\n"));
  });
});
