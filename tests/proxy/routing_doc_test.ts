/** The tables of docs/routing.md are what the program computes. */
import { assert, assertEquals } from "@std/assert";
import { predictMs, priceNano, scoreOf, secondNanoOf } from "../../proxy/score.ts";
import { PROXY_DEFAULTS } from "../../proxy/settings.ts";
import { PRIOR } from "../../proxy/window.ts";

const text = Deno.readTextFileSync(new URL("../../docs/routing.md", import.meta.url));
const prose = text.replace(/\s+/g, " ");

/** The rows of the table under a heading, without its head. */
function table(heading: string): string[][] {
  const section = text.split(`## ${heading}\n`)[1]!.split("\n## ")[0]!;
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

Deno.test("the weight's table", () => {
  const rows = table("The weight");
  assertEquals(rows.length, 6);
  for (const [weight, nano] of rows) assertEquals(String(Math.round(secondNanoOf(Number(weight)))), nano, weight);
});

Deno.test("the examples", () => {
  const rows = table("Examples");
  assertEquals(rows.length, 4);
  for (const [name, rttMs, megabytes, nanoPerGb, bytes, timeMs, price, score] of rows) {
    const server = {
      connectMs: 1000,
      rttMs: Number(rttMs),
      bytesPerSecond: Number(megabytes) * 1e6,
      nanoPerGb: Number(nanoPerGb),
      warmUntilMs: Infinity,
      excluded: "",
    };
    const time = predictMs(server, Number(bytes), 0);
    const cost = priceNano(server, Number(bytes));
    const combined = scoreOf(time, cost, { policy: "combined", secondNano: secondNanoOf(0.5) });
    assertEquals([time, cost, combined].map((value) => String(Math.round(value))), [timeMs, price, score], name);
  }
});

Deno.test("the defaults that it names", () => {
  const { probeIntervalMs, priceIntervalMs, usageIntervalMs, sampleIntervalMs, sampleBytes, assumedBytes, warmMs } =
    PROXY_DEFAULTS;
  assertEquals(
    [probeIntervalMs, priceIntervalMs, usageIntervalMs, sampleIntervalMs, sampleBytes, assumedBytes, warmMs],
    [5000, 2000, 5000, 60_000, 256 << 10, 256 << 10, 10_000],
  );
  assertEquals([PRIOR.rttMs, PRIOR.bytesPerSecond], [200, 1_000_000]);
  for (const words of ["every 5 s", "every 2 s", "256 KiB", "200 ms, 1 MB/s", "last 10 s"]) {
    assert(prose.includes(words), words);
  }
});
