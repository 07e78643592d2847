/** `metacdn proxy` as a process. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fakeServer, until } from "./kit.ts";

const root = new URL("../../", import.meta.url);

function command(args: string[]) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-P=proxy", "main.ts", "proxy", ...args],
    cwd: root,
    stdout: "piped",
    stderr: "piped",
    env: { METACDN_TOKEN: "", METACDN_CLUSTER_KEY: "", METACDN_SERVER: "" },
  });
}

Deno.test("it says where it listens in one line, answers, and ends on SIGTERM", async () => {
  await using a = fakeServer("a");
  for (const workers of ["1", "2"]) {
    const child = command([
      ...["--listen", "127.0.0.1:0", "--server", a.url, "--pricing", "http://127.0.0.1:1", "--workers", workers],
      ...["--probe-interval", "50", "--name", "cdn.example.com"],
    ]).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let out = "";
    const log = new Response(child.stderr).text();
    try {
      while (!out.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`it ended: ${await log}`);
        out += value;
      }
      assertMatch(out, /^listening http:\/\/127\.0\.0\.1:\d+\n$/);
      const url = out.trim().split(" ")[1]!;
      await until("it is ready", async () => {
        const response = await fetch(`${url}/-/readyz`);
        await response.body?.cancel();
        return response.status === 200;
      });
      const response = await fetch(`${url}/x`);
      assertEquals((await response.bytes()).length, 1000);
      assertEquals(response.headers.get("metacdn-route"), 'server="a", policy=combined, prices=none');
    } finally {
      child.kill("SIGTERM");
    }
    assertEquals((await child.status).code, 0);
    const { value } = await reader.read();
    assertEquals(value, undefined);
    assertStringIncludes(await log, "no pricing server answers");
  }
});

Deno.test("a wrong command line is one line and exit status 2", async () => {
  const rows: [string[], string][] = [
    [["--weight", "1.5"], "--weight must be a number from 0 to 1"],
    [["--policy", "cheap"], "--policy must be network, price or combined"],
    [["--name", "http://a/"], "--name must be a host name"],
    [["--listen", "0.0.0.0:0"], "without a token"],
  ];
  await Promise.all(rows.map(async ([args, words]) => {
    const { code, stdout, stderr } = await command(args).output();
    const text = new TextDecoder().decode(stderr);
    assertEquals([code, stdout.length, text.trim().split("\n").length], [2, 0, 1], text);
    assertStringIncludes(text, words);
  }));
});
