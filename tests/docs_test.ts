/** Everything that the library's door shows is documented. */
import { assertEquals } from "@std/assert";
import { dirname, fromFileUrl } from "@std/path";

const root = dirname(dirname(fromFileUrl(import.meta.url)));

Deno.test("what mod.ts exports has documentation and return types", async () => {
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--lint", "mod.ts"],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  const report = new TextDecoder().decode(stderr);
  // Types of libraries and of generated messages are theirs to document; that they are named is no fault of ours.
  const faults = [...report.matchAll(/^error\[(missing-[\w-]+)\].*\n\s*--> (\S+)/gm)]
    .map(([, kind, where]) => `${kind} ${where}`)
    .filter((fault) => fault.includes(root) && !fault.includes("/proto/gen/"));
  assertEquals(faults, []);
});
