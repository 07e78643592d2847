import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Running, runToEnd } from "./program.ts";

const COMMANDS = ["server", "pricing", "proxy", "servers", "edge", "purge", "doctor", "upload", "up"];
const PROGRAMS = ["server", "pricing", "proxy"];

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-commands-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Nothing on standard output, one line on standard error, exit status 2. */
function assertRefused(
  { code, stdout, stderr }: { code: number; stdout: string; stderr: string },
  ...parts: string[]
): void {
  assertEquals(code, 2, stderr);
  assertEquals(stdout, "");
  assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  for (const part of parts) assertStringIncludes(stderr, part);
}

for (const command of COMMANDS) {
  Deno.test(`${command}: help says what it is for, its flags, and shows examples`, async () => {
    const { code, stdout, stderr } = await runToEnd(command, ["--help"]);
    assertEquals([code, stderr], [0, ""]);
    for (const part of [`Usage: metacdn ${command}`, "--config FILE", "Examples:", `metacdn ${command}`]) {
      assertStringIncludes(stdout, part);
    }
  });

  Deno.test(`${command}: a flag that it does not know is refused in one line, with the likely one`, async () => {
    assertRefused(await runToEnd(command, ["--confg", "x"]), `metacdn ${command}: `, "--confg", "--config");
  });

  Deno.test(`${command}: a config file that is wrong is refused in one line`, async () => {
    await withFolder(async (folder) => {
      const file = `${folder}/config.json`;
      assertRefused(await runToEnd(command, ["--config", file]), "Cannot read the config file", file);
      await Deno.writeTextFile(file, "[1]");
      assertRefused(await runToEnd(command, ["--config", file]), "must be a JSON object");
      await Deno.writeTextFile(file, '{"no-such-flag": 1}');
      assertRefused(await runToEnd(command, ["--config", file]), 'unknown key "no-such-flag"');
    });
  });
}

Deno.test("a value that makes no sense is refused in one line that names the flag", async () => {
  const wrong: [command: string, args: string[], part: string][] = [
    ["server", ["--listen", "127.0.0.1:99999"], "--listen"],
    ["server", ["--id", "a b"], "--id"],
    ["pricing", ["--listen", "nowhere"], "--listen"],
    ["proxy", ["--policy", "cheapest"], "--policy"],
    ["proxy", ["--weight", "2"], "--weight"],
    ["proxy", ["--server", "ftp://x"], "--server"],
    ["upload", ["--encoding", "xml", "x"], "--encoding"],
    ["upload", [], "FILE"],
    ["up", ["--port-base", "many"], "--port-base"],
    ["up", ["/no/such/file.jpg"], "/no/such/file.jpg"],
    ["server", ["one", "word"], "one"],
  ];
  for (const [command, args, part] of wrong) assertRefused(await runToEnd(command, args), `metacdn ${command}: `, part);
});

Deno.test("a command that there is not is refused with the list of those that there are", async () => {
  assertRefused(await runToEnd("serve", []), 'unknown command "serve"', ...COMMANDS);
});

Deno.test("without a token, an address that others reach is refused in one line", async () => {
  await withFolder(async (folder) => {
    for (const command of PROGRAMS) {
      const data = command === "proxy" ? [] : ["--data", `${folder}/${command}`];
      assertRefused(await runToEnd(command, ["--listen", "0.0.0.0:0", ...data]), "without a token", "METACDN_TOKEN");
    }
  });
});

Deno.test("a token that is too short is refused in one line", async () => {
  await withFolder(async (folder) => {
    const env = { METACDN_TOKEN: "short" };
    const result = await runToEnd("server", ["--listen", ":0", "--data", `${folder}/a`], { env });
    assertRefused(result, "METACDN_TOKEN", "at least 16 characters");
  });
});

for (const command of PROGRAMS) {
  Deno.test(`${command}: with port 0 it says where it listens, answers there, and ends with 0 on SIGTERM`, async () => {
    await withFolder(async (folder) => {
      const data = command === "proxy" ? [] : ["--data", `${folder}/data`];
      await using program = new Running(command, ["--listen", "127.0.0.1:0", ...data]);
      const [line, url] = await program.line(/^listening (http:\/\/127\.0\.0\.1:\d+)$/m);
      assertEquals(program.stdout, `${line}\n`);
      const answer = await fetch(`${url}/-/healthz`);
      assertEquals(answer.status, 200);
      await answer.body?.cancel();
      program.signal("SIGTERM");
      assertEquals(await program.status(), 0);
    });
  });

  Deno.test(`${command}: a port in use is told in one line`, async () => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await withFolder(async (folder) => {
      const data = command === "proxy" ? [] : ["--data", `${folder}/data`];
      const { code, stderr, stdout } = await runToEnd(command, ["--listen", `127.0.0.1:${taken.addr.port}`, ...data]);
      assertEquals([code, stdout], [1, ""]);
      const lines = stderr.trimEnd().split("\n").filter((line) => line.startsWith("metacdn "));
      assertEquals(lines.length, 1, stderr);
      assertMatch(lines[0]!, /: Cannot listen on 127\.0\.0\.1:\d+: the address is in use$/);
      assert(!stderr.includes("    at "), stderr);
    });
  });
}

Deno.test("up: a port in use is told in one line, and nothing is left running", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await withFolder(async (folder) => {
    // The first link's port is 180 above the base.
    const base = String(taken.addr.port - 180);
    const { code, stderr } = await runToEnd("up", ["--once", "--data", folder, "--port-base", base]);
    assertEquals(code, 1);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    assertStringIncludes(stderr, `Cannot listen on 127.0.0.1:${taken.addr.port}: the address is in use`);
  });
});
