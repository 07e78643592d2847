import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { servers } from "../../cli/servers.ts";
import { CdnError } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { deadUrls, type FakeServer, input, NOON, record, startFakeServer, TOKEN } from "./fake_cluster.ts";

/** Runs `metacdn servers`; what it said, and how often it waited. */
async function run(fake: FakeServer | string, ...argv: string[]) {
  const [lines, notes]: [string[], string[]] = [[], []];
  let pauses = 0;
  const status = await servers(["--server", typeof fake === "string" ? fake : fake.url, ...argv], input, {
    print: (line) => lines.push(line),
    note: (line) => notes.push(line),
    pause: () => Promise.resolve(void pauses++),
    now: () => NOON,
  });
  assertEquals(status, 0);
  return { out: lines.join("\n"), notes, pauses };
}

const risk = (name: string, lost: bigint, unreachable = 0n, kind = "server") => ({
  kind,
  name,
  lostObjects: lost,
  lostBytes: lost * 1000n,
  unreachableObjects: unreachable,
  unreachableBytes: unreachable * 1000n,
  examples: ["/film.mp4"],
});

Deno.test("metacdn servers shows a line a server: where, how it fares, what it lacks, what it was caught at", async () => {
  await using fake = startFakeServer([
    record("a", { health: { state: "self" } }),
    record("b", {
      provider: "aws",
      region: "us-east-1",
      draining: true,
      health: {
        state: "alive",
        lastHeardMs: BigInt(NOON - 5000),
        lagObjects: 1200n,
        lagBytes: 3_400_000n,
        marks: [{ reason: "a forged\u001b[31m body", count: 3, atMs: BigInt(NOON - 300_000) }],
      },
    }),
    record("c", { role: "edge", software: "0.2.0", health: { state: "dead", error: "connection refused" } }),
    record("d", { removed: true }),
  ]);
  const { out } = await run(fake);
  const [head, a, b, c, ...rest] = out.split("\n");
  assertMatch(head!, /^id +url +place +role +state +heard +lacks +version +notes$/);
  assertMatch(a!, /^a +http:\/\/a\.example:8080 +p-a\/r +origin +self +- +- +0\.1\.0$/);
  assertMatch(
    b!,
    /^b .* aws\/us-east-1 +origin +alive, drains +5 s ago +1,200 objects, 3\.4 MB +0\.1\.0 +caught 3 times, 5 min ago: a forged\?\[31m body$/,
  );
  assertMatch(c!, /^c .* edge +dead +never +- +0\.2\.0 +connection refused$/);
  assertEquals(rest, []);
  assertEquals(JSON.parse((await run(fake, "--json")).out).servers.map(({ id }: { id: string }) => id), [
    "a",
    "b",
    "c",
    "d",
  ]);
  assertEquals(JSON.parse((await run(fake, "get", "b")).out).health.lagObjects, "1200");
  await assertRejects(() => run(fake, "get", "z"), CdnError, "There is no server z");
});

Deno.test("metacdn servers adds, drains without waiting, and lets go on", async () => {
  await using fake = startFakeServer([record("a")]);
  assertStringIncludes(
    (await run(fake, "add", "http://new.example:8080")).out,
    "added is on the list: p-added/r, origin",
  );
  assertEquals((await run(fake, "drain", "a", "--no-wait")).out, "a drains");
  assertEquals(fake.list[0]!.draining, true);
  assertEquals(JSON.parse((await run(fake, "undrain", "a", "--json")).out), { id: "a", draining: false });
  assertEquals(fake.list[0]!.draining, false);
  assertEquals(fake.calls, [
    "POST /-/v1/servers http://new.example:8080",
    "PATCH /-/v1/servers/a draining=true",
    "PATCH /-/v1/servers/a draining=false",
  ]);
});

Deno.test("a drain waits until nothing would be lost or out of reach, twice in a row, and says how far it is", async () => {
  await using fake = startFakeServer([record("a"), record("b")]);
  fake.durability = [
    { risks: [risk("a", 12n, 3n), risk("b", 1n)] },
    { risks: [risk("a", 12n, 3n)] },
    { unasked: ["a"] },
    new CdnError("Not now", { source: "server", status: 503, retry: true }),
    { risks: [risk("b", 1n), risk("a", 4n, 0n, "provider")] },
    { risks: [risk("a", 0n, 1n)] },
    {},
  ];
  const { out, notes, pauses } = await run(fake, "drain", "a");
  assertStringIncludes(out, "a may be removed");
  assertEquals(notes.map((note) => note.replace(/127\.0\.0\.1:\d+/, "…")), [
    "a drains: 12 objects (12 kB) are on no other server, 3 objects (3 kB) are on no other server that answers now, such as /film.mp4",
    "a drains: it cannot be asked what it holds",
    "a drains: … answered 503: Not now",
    "a drains: 1 object (1 kB) is on no other server that answers now, such as /film.mp4",
  ]);
  assertEquals(pauses, 7);
});

Deno.test("a drain that nobody can watch ends with what is the matter, and goes on", async () => {
  await using fake = startFakeServer([record("a")]);
  fake.durability = [new CdnError("Not now", { source: "server", status: 503, retry: true })];
  await assertRejects(() => run(fake, "drain", "a"), CdnError, "a drains, but how far it is cannot be told");
  assert(fake.calls.length > 10, "it is patient");
  fake.durability = [new CdnError("No such endpoint", { source: "client", status: 404 })];
  fake.calls.length = 0;
  await assertRejects(() => run(fake, "drain", "a"), CdnError, "No such endpoint");
  assertEquals(fake.calls, ["PATCH /-/v1/servers/a draining=true", "GET /-/v1/durability"]);
  assertEquals(fake.list[0]!.draining, true);
});

Deno.test("remove refuses while something would be lost, or nobody can tell; --force does not ask", async () => {
  await using fake = startFakeServer([record("a"), record("b"), record("c")]);
  const refused = async (words: string) => {
    const error = await assertRejects(() => run(fake, "remove", "a"), CdnError);
    assertStringIncludes(error.message, words);
    assertStringIncludes(error.message, "--force");
    assertEquals([error.source, fake.list.length], ["server", 3]); // exit status 1
  };
  fake.durability = [{ risks: [risk("b", 5n), risk("a", 2n)] }];
  await refused("2 objects (2 kB) are on no other server, such as /film.mp4. Drain it first");
  fake.durability = [{ risks: [risk("a", 0n, 1n)] }];
  await refused("1 object (1 kB) is on no other server that answers now");
  fake.durability = [new CdnError("Not now", { source: "server", status: 503 })];
  await refused("nobody can tell");

  fake.calls.length = 0;
  assertEquals((await run(fake, "remove", "a", "--force")).out, "a is off the list");
  assertEquals(fake.calls, ["GET /-/v1/servers/a", "DELETE /-/v1/servers/a"]);
  fake.durability = [{ risks: [risk("c", 5n)], unasked: ["b"] }];
  const { out, notes } = await run(fake, "remove", "b", "--json");
  assertEquals(JSON.parse(out), { id: "b", removed: true });
  assertStringIncludes(notes.join(), "b could not be asked");
  assertEquals(fake.list.map(({ id }) => id), ["c"]);
  await assertRejects(() => run(fake, "remove", "b"), CdnError, "There is no server b");
});

Deno.test("where a server is dead, or is the one meant, the next is asked; where it refuses, nobody else is", async () => {
  await using fake = startFakeServer([record("a")]);
  await using other = startFakeServer([record("a")]);
  const [dead, another] = deadUrls(2);
  assertStringIncludes((await run(`${dead},${fake.url}`, "get", "a")).out, '"id": "a"');
  const nobody = await assertRejects(() => run(`${dead},${another}`), CdnError);
  assertEquals(nobody.message.match(/Cannot reach/g)?.length, 2);
  assertMatch(nobody.message, /Connection refused/);
  assertEquals(nobody.message.split("\n").length, 1);

  fake.intercept = ({ method }) => {
    if (method === "DELETE") throw new CdnError("ask another", { source: "client", status: 409 });
    return undefined;
  };
  await run(`${fake.url},${other.url}`, "remove", "a");
  assertEquals([fake.list.length, other.list.length], [1, 0]);
  await assertRejects(() => run(`${fake.url},${other.url}`, "get", "nobody"), CdnError, "no server nobody");
  assertEquals(other.calls, ["DELETE /-/v1/servers/a"]);
});

Deno.test("a wrong metacdn servers is said to be so before anything is asked", async () => {
  const table: [argv: string[], words: string][] = [
    [["lst"], "not an action"],
    [["list", "a"], "list takes no name"],
    [["get"], "get takes the ID"],
    [["get", "a/b"], "get takes the ID"],
    [["get", "a", "b"], "one word too many"],
    [["add", "new.example"], "add takes the server's URL"],
    [["get", "a", "--force"], "--force is for remove"],
    [["remove", "a", "--no-wait"], "--no-wait is for drain"],
    [["--server", ","], "must name a server"],
  ];
  for (const [argv, words] of table) {
    const given = argv[0] === "--server" ? argv : ["--server", "http://127.0.0.1:1", ...argv];
    const error = await assertRejects(() => servers(given, input), UsageError);
    assert(error.message.includes(words), `${argv.join(" ")}: ${error.message}`);
  }
});

Deno.test("metacdn servers sends its token from a file, and never the cluster key", async () => {
  await using fake = startFakeServer([record("a")]);
  const seen: string[] = [];
  fake.intercept = ({ headers }) => {
    seen.push([headers.get("authorization"), headers.get("signature")].join());
    return undefined;
  };
  const secrets = {
    env: (name: string) => name === "METACDN_CLUSTER_KEY" ? "0123456789abcdef-key" : undefined,
    readTextFile: () => `${TOKEN}\n`,
  };
  await servers(["--server", fake.url, "--token-file", "t"], secrets, { print() {} });
  assertEquals(seen, [`Bearer ${TOKEN},`]);
  const stranger = await assertRejects(() => servers(["--server", fake.url], secrets, { print() {} }), CdnError);
  assertStringIncludes(stranger.message, "401: This needs the token");
});
