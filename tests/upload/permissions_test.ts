/** What `deno run upload.ts` asks for in a terminal: to read, and to use the network. Nothing else is needed. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { startTestServer, tempDir } from "../kit/mod.ts";

const root = fromFileUrl(new URL("../..", import.meta.url));

async function run(permissions: string[], args: string[]) {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", ...permissions, "upload.ts", ...args],
    cwd: root,
    env: { NO_COLOR: "1", METACDN_TOKEN: "", METACDN_SERVER: "" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return { code, err: new TextDecoder().decode(stderr) };
}

Deno.test("upload.ts needs to read the file and to reach the server, no more and no less", async () => {
  await using server = await startTestServer();
  await using dir = await tempDir();
  const file = join(dir.path, "photo.jpg");
  await Deno.writeTextFile(file, "a photograph");
  const { host } = new URL(server.url);
  const args = ["--server", server.url, file];
  assertEquals(await run([`--allow-read=${file}`, `--allow-net=${host}`], args), { code: 0, err: "" });
  assertEquals(await (await server.fetch("/photo.jpg")).text(), "a photograph");
  const [unread, unsent] = [await run([`--allow-net=${host}`], args), await run([`--allow-read=${file}`], args)];
  assertEquals([unread.code === 0, unsent.code === 0], [false, false]);
  assertStringIncludes(unread.err, "not permitted");
  assertStringIncludes(unsent.err, "--allow-net");
  assert(!unsent.err.includes("tries"), `what is not allowed is not tried again: ${unsent.err}`);
});
