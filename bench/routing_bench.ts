/**
 * A routing decision among 100 servers, beside what it cannot do without: sorting 100 numbers.
 * docs/performance.md has the figures.
 */
import type { ServerView, View } from "../proxy/mod.ts";
import { rank, secondNanoOf } from "../proxy/score.ts";
import { SizeMemory } from "../proxy/sizes.ts";
import { decide } from "../proxy/view.ts";

const COUNT = 100;
/** Requests differ, and so do the figures of the servers: nothing is to be had from a cache. */
const VIEWS = 64;

/** Numbers from 0 to 1 that are the same in each run (Park and Miller's generator). */
function generator(seed: number): () => number {
  return () => (seed = seed * 48271 % 2147483647) / 2147483647;
}

const random = generator(20261122);

function someView(): View {
  const servers = Array.from({ length: COUNT }, (_, at): ServerView => {
    const egressNanoPerGb = Math.round(random() * 120e6);
    return {
      id: `s${at}`,
      origin: `http://10.0.0.${at}:8080`,
      provider: "p",
      region: "r",
      connectMs: 1 + random() * 200,
      rttMs: 1 + random() * 200,
      bytesPerSecond: 1e5 + random() * 1e8,
      confidence: random(),
      newestMs: 0,
      warmUntilMs: random() < 0.5 ? 0 : Infinity,
      egressNanoPerGb,
      serverNanoPerGb: 1e6,
      nanoPerGb: egressNanoPerGb + 1e6,
      priceConfidence: "high",
      excluded: random() < 0.05 ? "down: connecting failed" : "",
      lastResort: "",
    };
  });
  return { policy: "combined", weight: 0.5, prices: "fresh", servers, trouble: "" };
}

const views = Array.from({ length: VIEWS }, someView);
const numbers = Array.from({ length: VIEWS }, () => Float64Array.from({ length: COUNT }, random));
const sizes = new SizeMemory({ assumedBytes: 262_144 });
for (let at = 0; at < 1000; at++) sizes.learn(`/photos/${at}.jpg`, Math.round(random() * 1e7));

let turn = 0;
const group = "choose among 100 servers";

Deno.bench({
  name: "bare sort of 100 numbers",
  group,
  baseline: true,
  fn() {
    numbers[turn++ % VIEWS]!.slice().sort();
  },
});

for (const policy of ["network", "price", "combined"] as const) {
  Deno.bench({
    name: `decide by ${policy}: the size, the best 8`,
    group,
    fn() {
      const at = turn++;
      const view = { ...views[at % VIEWS]!, policy };
      decide(view, sizes.predict(`/photos/${at % 1000}.jpg`).bytes, at, 8);
    },
  });
}

Deno.bench({
  name: "all 100 in order (what explain does)",
  group,
  fn() {
    const at = turn++;
    rank(views[at % VIEWS]!.servers, 1_000_000, { policy: "combined", secondNano: secondNanoOf(0.5) }, at);
  },
});
