/** What `deno.json` and the files beside it promise to whoever checks this out. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const root = new URL("..", import.meta.url);
const text = (path: string) => Deno.readTextFile(new URL(path, root));
const tasks: Record<string, { description: string; command: string }> = config.tasks;
const sets: Record<string, Record<string, unknown>> = config.permissions;

Deno.test("every task is there, says what it does, and may do only what its permission set names", () => {
  const promised = ["up", "server", "proxy", "pricing", "upload", "proto", "ok", "test", "test:system", "bench"];
  for (const name of [...promised, "compile"]) assert(name in tasks, name);
  for (const [name, { description, command }] of Object.entries(tasks)) {
    assertMatch(description, /^\S.{10,}/, name);
    assertEquals(/ (-A|--allow-all)\b/.test(command), name === "proto", `${name}: ${command}`);
    if (name === "proto") continue;
    for (const part of command.split("&&").map((one) => one.trim())) {
      if (!/^deno (run|test|bench|compile) /.test(part)) continue;
      assert(!part.includes(" --allow-"), `${name}: a permission of its own in ${part}`);
      const set = / -P(?:=(\S+))?(?: |$)/.exec(part);
      assert(set, `${name}: no permission set in ${part}`);
      assert((set[1] ?? "default") in sets, `${name}: no set ${set[1]}`);
    }
  }
});

Deno.test("scripts that upload may read, use the network, and see three variables; nothing else", () => {
  assertEquals(sets.default, { read: true, net: true, env: sets.default!.env });
  assertEquals((sets.default!.env as string[]).toSorted(), ["METACDN_CA", "METACDN_SERVER", "METACDN_TOKEN"]);
  for (const program of ["server", "pricing", "proxy"]) {
    for (const name of ["run", "all"]) assert(!(name in sets[program]!), `${program}: ${name}`);
    // For TCP_NODELAY under TLS, and nothing else.
    for (const library of sets[program]!.ffi as string[]) assert(library.endsWith("/libc.so.6"), library);
    assert(Array.isArray(sets[program]!.env), `${program} sees only variables that it names`);
  }
});

Deno.test("bare `deno bench` is not stopped by a permission set, and what is locked stays as it is", async () => {
  assert(!("bench" in config), "with bench.permissions `deno bench` ends with an error");
  assertEquals(config.lock.frozen, true);
  // With a frozen lock, what it does not name is an error and no change: so it names all that we import.
  const { specifiers } = JSON.parse(await text("deno.lock")) as { specifiers: Record<string, string> };
  const packages = Object.values(config.imports).filter((one) => one.startsWith("npm:"));
  assert(packages.length > 3);
  for (const one of packages) {
    const [, name, version] = /^npm:\/?((?:@[^/]+\/)?[^@/]+)@([^/]+)/.exec(one)!;
    assertEquals(specifiers[`npm:${name}@${version}`]?.split("_")[0], version, one);
  }
});

Deno.test("the compiler is strict", () => {
  const { strict, noUncheckedIndexedAccess, exactOptionalPropertyTypes, noImplicitReturns } = config.compilerOptions;
  assertEquals([strict, noUncheckedIndexedAccess, exactOptionalPropertyTypes, noImplicitReturns], [
    true,
    true,
    true,
    true,
  ]);
});

Deno.test("the files that a stranger looks for are there and lead on", async () => {
  const readme = await text("README.md");
  const opening = readme.split("\n\n")[1]!;
  assert(opening.split(/\.\s/).length <= 4, "three sentences say what this is");
  for (const command of ["npx -y deno@2.9.6 task up", "npx -y deno@2.9.6 task test"]) {
    assert(readme.indexOf(command) > 0 && readme.indexOf(command) < 1500, `${command} stands at the top`);
  }
  assertStringIncludes(readme, "deno task up");
  assertMatch(await text("LICENSE"), /^MIT License/);
  assertMatch(await text("CONTRIBUTING.md"), /deno task ok/);
  assertMatch(await text("CHANGELOG.md"), /^# Changelog/);
  const architecture = await text("docs/architecture.md");
  for (const walk of ["Request", "Replication", "Routing", "Image"]) assertStringIncludes(architecture, `**${walk}**`);
  assertStringIncludes(await text(".github/workflows/ci.yml"), "bash .ci/run");
});

Deno.test(".ci/run adds up what its steps say, and ends in one line", async () => {
  const script = await text(".ci/run");
  for (const command of ["deno task ok", "task test\n", "deno task test:system"]) assertStringIncludes(script, command);
  const folder = await Deno.makeTempDir();
  try {
    // The same script over steps that only print what Deno's tests print.
    const results = { ok: "ok | 9 passed | 0 failed (1s)", test: "FAILED | 7 passed (3 steps) | 1 failed (2s)" };
    const stub = `#!/bin/sh\nshift 2\ncase "$*" in\n"task ok") echo '${results.ok}';;\n` +
      `"task test") echo '${results.test}'; exit 1;;\n"task test:system") echo 'ok | 2 passed | 0 failed (1s)';;\nesac\n`;
    await Deno.mkdir(`${folder}/.ci`);
    await Deno.mkdir(`${folder}/bin`);
    await Deno.writeTextFile(`${folder}/.ci/run`, script);
    for (const name of ["npx", "curl", "wget", "nginx", "chromium", "ip"]) {
      await Deno.writeTextFile(`${folder}/bin/${name}`, stub, { mode: 0o755 });
    }
    const { code, stdout } = await new Deno.Command("bash", {
      args: [`${folder}/.ci/run`],
      env: { PATH: `${folder}/bin:${Deno.env.get("PATH")}` },
      stdin: "null",
    }).output();
    assertEquals(new TextDecoder().decode(stdout).trimEnd().split("\n").at(-1), "9 passed, 1 failed");
    assertEquals(code, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
