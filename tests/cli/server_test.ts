import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { drained, eventually, tempDir } from "../kit/mod.ts";
import { Running, runToEnd } from "./program.ts";

const LISTENING = /^listening (http:\/\/127\.0\.0\.1:\d+)\n/;
const start = (data: string, ...args: string[]) =>
  new Running("server", ["--listen", "127.0.0.1:0", "--data", data, ...args]);

Deno.test("metacdn server: says where it listens, ends with 0, and is the same server again", async () => {
  await using dir = await tempDir();
  const data = join(dir.path, "data");
  await using first = start(data, "--provider", "aws", "--region", "us-east-1", "--label", "tier=1");
  const url = (await first.line(LISTENING))[1]!;
  assertEquals((await drained(fetch(`${url}/x.txt`, { method: "PUT", body: "kept" }))).status, 201);
  const { servers: [self] } = await (await fetch(`${url}/-/v1/servers`)).json();
  assertMatch(self.id, /^[A-Za-z0-9-]+-[a-z0-9]{5}$/);
  assertEquals([self.url, self.provider, self.region, self.labels], [url, "aws", "us-east-1", { tier: "1" }]);

  const busy = await runToEnd("server", ["--listen", "127.0.0.1:0", "--data", data]);
  assertEquals([busy.code, busy.stdout], [1, ""]);
  assertStringIncludes(busy.stderr, "another process has it open");
  const stranger = await runToEnd("server", ["--listen", "127.0.0.1:0", "--data", data, "--id", "stranger"]);
  assertEquals([stranger.code, stranger.stderr.trim().split("\n").length], [2, 1], stranger.stderr);
  assertStringIncludes(stranger.stderr, self.id);

  first.signal("SIGTERM");
  assertEquals(await first.status(), 0);
  assertEquals(first.stdout, `listening ${url}\n`);

  await using second = start(data);
  const again = (await second.line(LISTENING))[1]!;
  assertEquals(await (await fetch(`${again}/x.txt`)).text(), "kept");
  assertEquals((await (await fetch(`${again}/-/v1/servers`)).json()).servers[0].id, self.id);
  second.signal("SIGINT");
  assertEquals(await second.status(), 0);
});

Deno.test("metacdn server: an edge with less memory than it can work with is a wrong flag, and no crash", async () => {
  await using dir = await tempDir();
  const edge = ["--listen", "127.0.0.1:0", "--data", dir.path, "--role", "edge", "--origin", "http://127.0.0.1:9"];
  const little = await runToEnd("server", [...edge, "--memory-size", "2MB"]);
  assertEquals([little.code, little.stderr.trim().split("\n").length], [2, 1], little.stderr);
  assertStringIncludes(little.stderr, "--memory-size");
});

Deno.test("metacdn server: what was acknowledged outlives kill -9", async () => {
  await using dir = await tempDir();
  await using first = start(dir.path);
  const url = (await first.line(LISTENING))[1]!;
  const acknowledged: string[] = [];
  const writes = Promise.allSettled(Array.from({ length: 200 }, async (_, at) => {
    const response = await drained(fetch(`${url}/${at}`, { method: "PUT", body: `object ${at}` }));
    if (response.status === 201) acknowledged.push(`/${at}`);
  }));
  while (acknowledged.length < 20) await new Promise((resolve) => setTimeout(resolve, 5));
  first.signal("SIGKILL");
  await writes;
  assert(acknowledged.length >= 20);
  await using second = start(dir.path);
  const again = (await second.line(LISTENING))[1]!;
  for (const path of acknowledged) {
    assertEquals(await (await fetch(again + path)).text(), `object ${path.slice(1)}`);
  }
});

Deno.test("metacdn server --publish: the files of a folder are there", async () => {
  await using dir = await tempDir();
  await Deno.mkdir(join(dir.path, "media"));
  const file = join(dir.path, "media", "a.txt");
  await Deno.writeTextFile(file, "published");
  await Deno.utime(file, 0, 0);
  await using server = start(join(dir.path, "data"), "--publish", join(dir.path, "media"));
  const url = (await server.line(LISTENING))[1]!;
  await eventually(async () => await (await fetch(`${url}/a.txt`)).text() === "published", { what: "/a.txt" });
  server.signal("SIGTERM");
  assertEquals(await server.status(), 0);
  assertStringIncludes(server.stderr, "published 1 of 1 files");
});

Deno.test("metacdn server: wrong settings are one line and exit status 2", async () => {
  await using dir = await tempDir();
  const policy = join(dir.path, "policy.json");
  await Deno.writeTextFile(policy, '{"rules":[{"glob":"x"}]}');
  const data = join(dir.path, "data");
  const token = { METACDN_TOKEN: "correct-horse-battery-staple" };
  const table: [args: string[], says: string, env?: Record<string, string>][] = [
    [["--peers", "http://127.0.0.1:1"], "METACDN_CLUSTER_KEY", token],
    [["--cache-policy", policy], "rules[0].glob"],
    [["--cache-policy", join(dir.path, "none.json")], "cannot read"],
    [["--listen", "0.0.0.0:0"], "METACDN_TOKEN"],
    [["--chunk-size", "1"], "--chunk-size"],
    [["--role", "boss"], "--role"],
    [["--publish", join(dir.path, "none")], "--publish: cannot publish"],
    [["--publish", policy], "--publish: cannot publish"],
    [["--publish", dir.path], "it would be published too"],
  ];
  for (const [args, says, env = {}] of table) {
    const { code, stdout, stderr } = await runToEnd("server", ["--data", data, ...args], { env });
    assertEquals([code, stdout, stderr.trim().split("\n").length], [2, "", 1], `${args}: ${stderr}`);
    assertStringIncludes(stderr, says);
  }
  let made = true;
  await Deno.stat(data).catch(() => made = false);
  assertEquals(made, false, "nothing is made before the settings are known to be right");
});
