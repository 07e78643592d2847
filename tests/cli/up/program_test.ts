import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Program, runOnce } from "../../../cli/up/program.ts";
import { CdnError } from "../../../proto/mod.ts";

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-program-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function pricing(folder: string, port = 0) {
  const args = ["pricing", "--listen", `127.0.0.1:${port}`, "--data", `${folder}/data`];
  return { name: "pricing", args, logFile: `${folder}/pricing.log` };
}

Deno.test("program: it starts, answers, is killed for real, and starts again", async () => {
  await withFolder(async (folder) => {
    const first = await Program.start(pricing(folder));
    assertEquals(await (await fetch(`${first.url}/-/healthz`)).text() !== "", true);
    await first.kill();
    assertEquals((await first.ended).signal, "SIGKILL");
    await assertRejects(() => fetch(`${first.url}/-/healthz`));
    const second = await Program.start(pricing(folder));
    await second.stop();
    assertEquals((await second.ended).code, 0);
  });
});

Deno.test("program: one that ends by itself is told of; one that we end is not", async () => {
  await withFolder(async (folder) => {
    const lost = Promise.withResolvers<string>();
    const program = await Program.start({ ...pricing(folder), onLost: lost.resolve });
    Deno.kill(program.pid, "SIGKILL");
    assertMatch(await lost.promise, /^pricing ended by itself; see .*pricing\.log$/);
    await program.stop();
    const told: string[] = [];
    const wanted = await Program.start({ ...pricing(folder), onLost: (why) => told.push(why) });
    await wanted.stop();
    assertEquals(told, []);
  });
});

Deno.test("program: one that cannot start says why, in one line", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await withFolder(async (folder) => {
    const error = await assertRejects(() => Program.start(pricing(folder, taken.addr.port)), CdnError);
    assertMatch(
      error.message,
      /^pricing did not come up: metacdn pricing: Cannot listen on .*: the address is in use$/,
    );
  });
});

Deno.test("program: a command that fails hands on its last line; one that works, its output", async () => {
  const signal = new AbortController().signal;
  const error = await assertRejects(() => runOnce(["upload", "/no/such/file"], signal), CdnError);
  assert(error.message.includes("/no/such/file"), error.message);
  assert((await runOnce(["upload", "--help"], signal)).includes("Usage:"));
});
