import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { jsonCodec, wire } from "../../proto/mod.ts";
import { sampleSheet, temporaryFolder } from "./kit.ts";

const main = fromFileUrl(new URL("../../main.ts", import.meta.url));

function command(args: string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-P=pricing", main, "pricing", "--log-level", "warn", ...args],
    env: { METACDN_TOKEN: "", METACDN_CLUSTER_KEY: "", METACDN_SUPERVISED: "", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
}

/** A running `metacdn pricing`. */
async function start(args: string[], env: Record<string, string> = {}) {
  const child = command(["--listen", "127.0.0.1:0", ...args], env).spawn();
  const errors = new Response(child.stderr).text();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let output = "";
  while (!output.includes("\n")) {
    const { value, done } = await lines.read();
    if (done) throw new Error(`it ended: ${await errors}`);
    output += value;
  }
  assertMatch(output, /^listening http:\/\/127\.0\.0\.1:\d+\n$/);
  const url = output.trim().split(" ")[1]!;
  return {
    url,
    /** Ends it; resolves to its exit status and to what it wrote on standard output after the first line. */
    async end(how: "SIGINT" | "SIGTERM" | "SIGKILL" | "input"): Promise<{ code: number; rest: string }> {
      if (how === "input") await child.stdin.close();
      else child.kill(how);
      let rest = "";
      for (let part = await lines.read(); !part.done; part = await lines.read()) rest += part.value;
      const { code } = await child.status;
      await errors;
      if (how !== "input") await child.stdin.close().catch(() => {});
      return { code, rest };
    },
  };
}

const put = (url: string, note: string) =>
  fetch(`${url}/-/v1/prices/cloud/here-1`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: jsonCodec.encode(wire.SheetSchema, sampleSheet({ note })),
  });

Deno.test("a price that was acknowledged is there after a kill -9", async () => {
  using folder = temporaryFolder();
  const args = ["--data", `${folder.path}/deep/data`];
  let server = await start(args);
  for (let at = 0; at < 20; at++) {
    const answer = await put(server.url, `${at}`);
    assert(answer.ok);
    await answer.body?.cancel();
  }
  await server.end("SIGKILL");
  server = await start(args);
  const sheet = await (await fetch(`${server.url}/-/v1/prices/cloud/here-1`)).json();
  assertEquals([sheet.note, sheet.updatedBy], ["19", "local@127.0.0.1"]);
  assertEquals(await server.end("SIGTERM"), { code: 0, rest: "" });
});

Deno.test("it stops on SIGINT, and with its parent where it is supervised", async () => {
  using folder = temporaryFolder();
  const args = ["--data", folder.path];
  assertEquals(await (await start(args)).end("SIGINT"), { code: 0, rest: "" });
  const supervised = await start(args, { METACDN_SUPERVISED: "1" });
  assertEquals(await supervised.end("input"), { code: 0, rest: "" });
});

Deno.test("a wrong command line is one line and exit status 2; a folder in use is 1", async () => {
  using folder = temporaryFolder();
  const data = ["--data", folder.path];
  const token = { METACDN_TOKEN: "0123456789abcdef-token" };
  const table: [args: string[], words: string, env?: Record<string, string>][] = [
    [["--peers", "http://127.0.0.1:1", ...data], "--peers with a token needs the cluster key", token],
    [["--peers", "127.0.0.1:1"], "--peers must be like http://host:port"],
    [["--peers", "http://a:1,http://b:1/x"], "--peers must be like http://host:port"],
    [["--id", "a b"], "--id must be 1 to 64 letters"],
    [["--encoding", "xml"], "--encoding must be json or protobuf"],
    [["--peer-interval", "0"], "--peer-interval must be a whole number from 10"],
    [["--expected-bytes-per-hour", "0"], "--expected-bytes-per-hour must be a size"],
    [["--expected-bytes-per-hour", "lots"], "--expected-bytes-per-hour must be a size"],
    [["--lisen", "x"], "did you mean --listen"],
    [["--listen", "0.0.0.0:0", ...data], "without a token"],
    [["word"], "takes only flags"],
  ];
  for (const [args, words, env] of table) {
    const { code, stdout, stderr } = await ran(args, env);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertStringIncludes(stderr, words);
  }
  const server = await start(data);
  const second = await ran(["--listen", "127.0.0.1:0", ...data]);
  assertEquals(second.code, 1);
  assertStringIncludes(second.stderr, "another pricing server has it open");
  await server.end("SIGTERM");
});

async function ran(args: string[], env: Record<string, string> = {}) {
  const child = command(args, env).spawn();
  await child.stdin.close();
  const { code, stdout, stderr } = await child.output();
  const lines = new TextDecoder().decode(stderr).split("\n").filter((line) => line && !line.includes("Warning"));
  assertEquals(lines.length, 1, lines.join("\n"));
  return { code, stdout: new TextDecoder().decode(stdout), stderr: lines[0]! };
}
