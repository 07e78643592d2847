/** Ctrl-C in a terminal: the signal goes to the whole group, and nothing is left but the data folder. */
import { assert, assertEquals } from "@std/assert";
import { commandLine, plainEnv } from "../cli/program.ts";
import { eventually, tempDir } from "../kit/mod.ts";
import { has } from "./clients.ts";

/** The processes of a group, zombies left out. */
async function members(group: number): Promise<string[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-A", "-o", "pgid=,stat=,args="] }).output();
  return new TextDecoder().decode(stdout).split("\n").map((line) => line.trim()).filter((line) => {
    const [id, state = "Z"] = line.split(/\s+/);
    return id === String(group) && !state.startsWith("Z");
  });
}

Deno.test({
  name: "up: Ctrl-C in the middle of a scenario leaves no process, and no file but the data folder",
  ignore: !has("setsid") || !has("ps"),
  async fn() {
    await using dir = await tempDir();
    // A session of its own, as a terminal gives it: its group has the program and all its children.
    const child = new Deno.Command("setsid", {
      args: [Deno.execPath(), ...commandLine("up", ["--port-base", "0"])],
      cwd: dir.path,
      env: plainEnv,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let [out, err] = ["", ""];
    const reading = Promise.all([
      (async () => {
        for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) out += text;
      })(),
      (async () => {
        for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) err += text;
      })(),
    ]);
    let ended = false;
    try {
      await eventually(() => /^1 {2}A price rises$/m.test(out), { what: "the first scenario", deadlineMs: 240_000 });
      assert((await members(child.pid)).length >= 8, "the program and its children are one group");
      const { success } = await new Deno.Command("kill", { args: ["-INT", "--", `-${child.pid}`] }).output();
      assert(success);
      const { code } = await child.status;
      ended = true;
      await reading;
      assertEquals([code, err], [0, ""], out);
      await eventually(async () => (await members(child.pid)).length === 0, { what: "the end of all children" });
      assertEquals([...Deno.readDirSync(dir.path)].map(({ name }) => name), [".metacdn"]);
      assertEquals([...Deno.readDirSync(`${dir.path}/.metacdn`)].map(({ name }) => name), ["up"]);
    } finally {
      if (!ended) {
        await new Deno.Command("kill", { args: ["-KILL", "--", `-${child.pid}`] }).output();
        await child.status;
        await reading;
      }
    }
  },
});
