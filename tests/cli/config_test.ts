/** The flags that people and scripts rely on: each is there, with its default, and has a place in --config. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { eventually, tempDir } from "../kit/mod.ts";
import { Running, runToEnd } from "./program.ts";

/** What each command promises: flag to a part of its line in --help. */
const promised: Record<string, Record<string, string>> = {
  server: {
    listen: "default: 127.0.0.1:8080",
    id: "NAME",
    data: "default: ./.metacdn/server",
    provider: "default: local",
    region: "default: local",
    role: "default: origin",
    label: "may be repeated",
    peers: "may be repeated",
    encoding: "default: json",
  },
  pricing: { listen: "default: 127.0.0.1:8090", data: "default: .metacdn/pricing" },
  proxy: {
    listen: "default: 127.0.0.1:8000",
    server: "default: http://127.0.0.1:8080; or METACDN_SERVER",
    pricing: "default: http://127.0.0.1:8090",
    policy: "default: combined",
    weight: "default: 0.5",
    workers: `default: ${Math.min(navigator.hardwareConcurrency, 8)}`,
    name: "may be repeated",
  },
  upload: {
    server: "default: http://127.0.0.1:8080; or METACDN_SERVER",
    as: "/PATH",
    meta: "may be repeated",
    encoding: "default: json",
    "token-file": "else METACDN_TOKEN",
  },
  up: { once: "", data: "default: ./.metacdn/up" },
};
for (const command of ["server", "pricing", "proxy"]) {
  Object.assign(promised[command]!, { "token-file": "METACDN_TOKEN", "cluster-key-file": "METACDN_CLUSTER_KEY" });
}

/** Flag to all that --help says of it. */
function flagsOf(help: string): Map<string, string> {
  const part = help.split("\nFlags:\n")[1]!.split("\n\n")[0]!;
  const entries = part.split(/^ {2}(?=--)/m).filter(Boolean);
  return new Map(entries.map((entry) => [/^--([\w-]+)/.exec(entry)![1]!, entry.replaceAll(/\s+/g, " ")]));
}

for (const [command, flags] of Object.entries(promised)) {
  Deno.test(`${command}: the promised flags are there, and each flag has a place in --config`, async () => {
    await using dir = await tempDir();
    const config = join(dir.path, "config.json");
    const { stdout } = await runToEnd(command, ["--help"]);
    const found = flagsOf(stdout);
    for (const [flag, words] of Object.entries(flags)) {
      assert(found.has(flag), `--${flag}`);
      assertStringIncludes(found.get(flag)!, words);
    }
    // Keys are read in order: the first that is not known is the one that no command has.
    const keys = [...found.keys()].filter((flag) => flag !== "config" && flag !== "help");
    await Deno.writeTextFile(
      config,
      JSON.stringify(Object.fromEntries([...keys, "no-such-flag"].map((key) => [key, 1]))),
    );
    const { code, stderr } = await runToEnd(command, ["--config", config]);
    assertEquals(code, 2);
    assertStringIncludes(stderr, 'unknown key "no-such-flag"');
  });
}

Deno.test("programs that are told everything by --config do as it says", async () => {
  await using dir = await tempDir();
  const write = async (name: string, values: Record<string, unknown>) => {
    const file = join(dir.path, `${name}.json`);
    await Deno.writeTextFile(file, JSON.stringify({ listen: "127.0.0.1:0", "log-format": "json", ...values }));
    return ["--config", file];
  };
  const listening = /^listening (http:\/\/127\.0\.0\.1:\d+)\n/;
  const token = "correct-horse-battery-staple";
  const key = "a-cluster-key-of-some-length";
  await Deno.writeTextFile(join(dir.path, "token"), token);
  await Deno.writeTextFile(join(dir.path, "key"), key);
  const secrets = { "token-file": join(dir.path, "token"), "cluster-key-file": join(dir.path, "key") };

  await using server = new Running(
    "server",
    await write("server", {
      ...secrets,
      id: "from-config",
      data: join(dir.path, "s"),
      provider: "aws",
      region: "us-east-1",
      role: "edge",
      label: { tier: "1" },
      encoding: "protobuf",
    }),
  );
  const [, url] = await server.line(listening);
  assertEquals(await status(`${url}/-/v1/servers`), 401);
  const headers = { authorization: `Bearer ${token}` };
  const { servers: [self] } = await (await fetch(`${url}/-/v1/servers`, { headers })).json();
  assertEquals([self.id, self.provider, self.region, self.role, self.labels], [
    "from-config",
    "aws",
    "us-east-1",
    "edge",
    { tier: "1" },
  ]);

  await using pricing = new Running("pricing", await write("pricing", { ...secrets, data: join(dir.path, "p") }));
  const [, prices] = await pricing.line(listening);
  assertEquals(await status(`${prices}/-/v1/prices`), 401);
  assert((await Deno.stat(join(dir.path, "p", "pricing.sqlite"))).isFile);

  await using proxy = new Running(
    "proxy",
    await write("proxy", {
      ...secrets,
      server: [url],
      pricing: prices,
      policy: "price",
      weight: 0.25,
      workers: 2,
      name: ["cdn.example.com"],
      "probe-interval": 50,
      "price-interval": 50,
    }),
  );
  const [, through] = await proxy.line(listening);
  const put = await fetch(`${url}/x`, { method: "PUT", body: "told", headers });
  await put.body?.cancel();
  const route = await eventually(async () => {
    const answer = await fetch(`${through}/x`);
    const body = await answer.text();
    const field = answer.headers.get("metacdn-route")!;
    return body === "told" && field.includes("fresh") ? field : null;
  }, { what: "the proxy that knows the server and the prices by the keys of its config" });
  assertMatch(route, /^server="from-config", policy=price, prices=fresh$/);
  const explained = await (await fetch(`${through}/-/explain?path=/x`, { headers })).json();
  assertEquals(explained.policy, "price");
});

async function status(url: string): Promise<number> {
  const answer = await fetch(url);
  await answer.body?.cancel();
  return answer.status;
}
