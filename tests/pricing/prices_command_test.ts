import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { prices } from "../../cli/prices.ts";
import { createPricing } from "../../pricing/mod.ts";
import { CdnError } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { NOON } from "./kit.ts";

const token = "0123456789abcdef-token";

/** Runs `work` against a pricing server that has a token set. */
async function withServer(work: (run: (...argv: string[]) => Promise<string>) => Promise<void>): Promise<void> {
  const pricing = createPricing({ secrets: { token, clusterKey: null }, now: () => NOON });
  const server = listen({ hostname: "127.0.0.1", port: 0 }, pricing.handler, { log: silentLogger, token });
  try {
    await work(async (...argv) => {
      const lines: string[] = [];
      const input = {
        env: (name: string) => name === "METACDN_TOKEN" ? token : undefined,
        readTextFile: (path: string) => Deno.readTextFileSync(path),
      };
      assertEquals(await prices(["--pricing", server.url, ...argv], input, (line) => lines.push(line)), 0);
      return lines.join("\n");
    });
  } finally {
    await server.close();
    pricing.close();
  }
}

Deno.test("metacdn prices lists, reads, changes, takes away and tells the history", async () => {
  await withServer(async (run) => {
    const list = (await run()).split("\n");
    assertMatch(list.find((line) => line.startsWith("aws/us-east-1"))!, /100 GB free +\$0\.09, .* by the GB +high/);
    assertStringIncludes(list.find((line) => line.startsWith("gcp-standard/us-east1"))!, "unverified");

    const before = JSON.parse(await run("get", "aws/us-east-1"));
    await run("set", "aws/us-east-1", "serverNanoPerHour=41600000", "asOf=2026-11", 'tiers=[{"nanoPerUnit":"5"}]');
    const after = JSON.parse(await run("get", "aws/us-east-1"));
    assertEquals(after.tiers, [{ nanoPerUnit: "5" }]);
    assertEquals([after.serverNanoPerHour, after.asOf, after.source], ["41600000", "2026-11", before.source]);
    assertMatch(after.updatedBy, /^token:/);

    await run("delete", "aws/us-east-1");
    await assertRejects(() => run("get", "aws/us-east-1"), CdnError, "404");
    const { changes } = JSON.parse(await run("history", "aws/us-east-1"));
    assertEquals(changes.map(({ sheet }: { sheet?: unknown }) => sheet !== undefined), [false, true, true]);
  });
});

Deno.test("metacdn prices writes a whole sheet from a file, and passes on what is wrong with one", async () => {
  const file = Deno.makeTempFileSync();
  try {
    await withServer(async (run) => {
      const sheet = {
        unitBytes: "1000000000",
        pool: "REGION",
        tiers: [{ nanoPerUnit: "4000000" }],
        confidence: "HIGH",
      };
      Deno.writeTextFileSync(file, JSON.stringify(sheet));
      const kept = JSON.parse(await run("set", "our-colo/fra", "--file", file));
      assertEquals([kept.provider, kept.region, kept.tiers], ["our-colo", "fra", sheet.tiers]);
      const wrong = await assertRejects(() => run("set", "our-colo/fra", "unitBytes=5"), CdnError);
      assertStringIncludes(wrong.message, "unitBytes must be");
      assertEquals(JSON.parse(await run("get", "our-colo/fra")).unitBytes, "1000000000");
      Deno.writeTextFileSync(file, "[]");
      await assertRejects(() => run("set", "our-colo/fra", "--file", file), UsageError, "one JSON object");
    });
  } finally {
    Deno.removeSync(file);
  }
});

Deno.test("a wrong metacdn prices is said to be so before anything is asked", async () => {
  const table: [argv: string[], words: string][] = [
    [["lst"], "not an action"],
    [["get"], "PROVIDER/REGION"],
    [["get", "aws"], "PROVIDER/REGION"],
    [["get", "aws/x", "asOf=2026"], "changes no field"],
    [["set", "aws/x"], "FIELD=VALUE"],
    [["set", "aws/x", "tiers=[1"], "tiers must be JSON"],
    [["set", "aws/x", "=5"], "must be FIELD=VALUE"],
    [["list", "aws/x"], "list takes no place"],
  ];
  const input = { env: () => undefined, readTextFile: () => "" };
  for (const [argv, words] of table) {
    const error = await assertRejects(() => prices(["--pricing", "http://127.0.0.1:1", ...argv], input), UsageError);
    assert(error.message.includes(words), `${argv.join(" ")}: ${error.message}`);
  }
});
