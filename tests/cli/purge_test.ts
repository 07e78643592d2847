import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { purge } from "../../cli/purge.ts";
import { CdnError, wire } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import { deadUrls, input, startProgram, TOKEN } from "./fake_cluster.ts";

type Outcome = MessageInitShape<typeof wire.PurgeOutcomeSchema>;

/** A server that says what came of any purge. */
function startPurging(members: Outcome[]) {
  const asked: wire.PurgeRequest[] = [];
  const program = startProgram(async (request) => {
    assertEquals([request.method, new URL(request.url).pathname], ["POST", "/-/v1/purge"]);
    if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) return new Response(null, { status: 401 });
    asked.push(await readMessage(request, wire.PurgeRequestSchema));
    const report = { version: { wallMs: 1n, counter: 0, server: "a" }, members, tookMs: 12.34 };
    return messageResponse(request, wire.PurgeReportSchema, create(wire.PurgeReportSchema, report as never));
  });
  return Object.assign(program, { asked });
}

async function run(urls: string[], ...argv: string[]) {
  const lines: string[] = [];
  const status = await purge(["--server", urls.join(), ...argv], input, { print: (line) => lines.push(line) });
  return { status, lines };
}

const done = (id: string, removed: bigint): Outcome => ({
  id,
  acknowledged: true,
  removed,
  tookMs: 1.26,
  state: "alive",
});

Deno.test("metacdn purge shows a line a server: whether it purged, what went, how long it took", async () => {
  await using fake = startPurging([done("a", 1200n), {
    id: "b",
    tookMs: 2000,
    state: "dead",
    error: "refused\u001b[1m",
  }]);
  const { status, lines } = await run(
    [...deadUrls(1), fake.url],
    "/x?y",
    "http://h/z",
    "--prefix",
    "/p",
    "--prefix",
    "/q",
    "--tag",
    "t",
    "--soft",
  );
  const [head, a, b, sum, ...rest] = lines;
  assertMatch(head!, /^id +purged +responses +ms +notes$/);
  assertMatch(a!, /^a +yes +1,200 +1\.3$/);
  assertMatch(b!, /^b +no, dead +- +2000\.0 +refused\?\[1m$/);
  assertEquals([sum, rest], ["1,200 stored responses on 1 of 2 servers, in 12.3 ms", []]);
  assertEquals(status, 0, "a dead one was not expected to");
  const { urls, prefixes, tags, soft } = fake.asked[0]!;
  assertEquals([urls, prefixes, tags, soft], [["/x?y", "http://h/z"], ["/p", "/q"], ["t"], true]);
  const json = await run([fake.url], "/x", "--json");
  assertEquals(JSON.parse(json.lines.join("\n")).members.map(({ id }: { id: string }) => id), ["a", "b"]);
});

Deno.test("metacdn purge fails where a server that lives did not purge, and where nobody can be asked", async () => {
  for (const state of ["alive", "suspect", "unknown", "self"]) {
    await using fake = startPurging([done("a", 0n), { id: "b", state, error: "no" }]);
    assertEquals((await run([fake.url], "/x")).status, 1, state);
  }
  await assertRejects(() => run(deadUrls(1), "/x"), CdnError, "Cannot reach");
});

Deno.test("metacdn purge refuses what is no URL, prefix or tag before it asks anybody", async () => {
  const table: [string[], string][] = [
    [[], "missing"],
    [["x"], "URL x must be an http(s) URL"],
    [["/a", "/b c"], "URL /b c must be"],
    [["--prefix", "p"], "--prefix p must be"],
    [["--tag", "a,b"], "--tag a,b must be"],
  ];
  for (const [argv, part] of table) await assertRejects(() => run(deadUrls(1), ...argv), UsageError, part);
});
