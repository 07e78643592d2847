import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";

const proto = fromFileUrl(new URL("../../proto", import.meta.url));

async function filesIn(folder: string, below = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const entry of Deno.readDir(join(folder, below))) {
    const name = below ? `${below}/${entry.name}` : entry.name;
    if (entry.isDirectory) Object.assign(found, await filesIn(folder, name));
    else found[name] = await Deno.readTextFile(join(folder, name));
  }
  return found;
}

Deno.test("generating again changes nothing", async () => {
  const output = await Deno.makeTempDir({ prefix: "metacdn-proto-" });
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "npm:@bufbuild/buf@1.74.0", "generate", "-o", output],
      cwd: proto,
      stdin: "null",
    }).output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    assertEquals(await filesIn(join(output, "gen")), await filesIn(join(proto, "gen")));
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});
