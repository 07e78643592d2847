import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createPricing } from "../../pricing/mod.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { NOON, temporaryFolder } from "./kit.ts";

const page = Deno.readTextFileSync(new URL("../../docs/pricing.md", import.meta.url));
const missing = await Promise.all(["curl", "sh", "sed"].map(async (name) => (await works(name)) ? [] : [name]));
const lacking = missing.flat();

Deno.test({
  name: `the commands of docs/pricing.md work, and lead to its numbers${
    lacking.length ? ` (skipped: no ${lacking.join(", ")} here)` : ""
  }`,
  ignore: lacking.length > 0,
  async fn() {
    using folder = temporaryFolder();
    const pricing = createPricing({ folder: `${folder.path}/data`, now: () => NOON });
    const server = listen({ hostname: "127.0.0.1", port: 0 }, pricing.handler, { log: silentLogger, token: null });
    try {
      const outputs: string[] = [];
      for (const block of blocks("sh")) {
        // The month of the server's clock, whenever the test runs.
        const script = `set -e\ndate() { echo 2026-11; }\n${block.replaceAll("http://127.0.0.1:8090", server.url)}`;
        const { success, stdout, stderr } = await new Deno.Command("sh", {
          args: ["-c", script],
          cwd: folder.path,
        }).output();
        const output = new TextDecoder().decode(stdout);
        assert(success, `${block}\n${output}\n${new TextDecoder().decode(stderr)}`);
        outputs.push(output);
      }
      const quoted = outputs.map(json).find((answer) => answer?.quotes)!.quotes[0];
      const promised = json(blocks("json")[0]!)!;
      assert(Object.keys(promised).length > 5);
      for (const [name, value] of Object.entries(promised)) assertEquals(quoted[name], value, name);

      // The table of the worked example says the same.
      for (
        const [label, nano] of [["egress", quoted.egressNano], ["server", quoted.serverNano], [
          "price",
          quoted.priceNano,
        ]]
      ) {
        const row = page.split("\n").find((line) => line.startsWith(`| **${label}**`))!;
        assertStringIncludes(row, `**${Number(nano).toLocaleString("en-US")}**`);
      }
    } finally {
      await server.close();
      pricing.close();
    }
  },
});

/** The fenced blocks of a language. */
function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map((match) => match[1]!);
}

// deno-lint-ignore no-explicit-any
function json(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function works(name: string): Promise<boolean> {
  try {
    const args = name === "sh" ? ["-c", "true"] : ["--version"];
    await new Deno.Command(name, { args, stdout: "null", stderr: "null" }).output();
    return true;
  } catch {
    return false;
  }
}
