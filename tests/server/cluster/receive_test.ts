import { assertEquals } from "@std/assert";
import { HybridClock } from "../../../proto/clock.ts";
import { CdnError, type Manifest } from "../../../proto/mod.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { Holders } from "../../../server/cluster/holders.ts";
import { byTimer } from "../../../server/cluster/mod.ts";
import { Receiver } from "../../../server/cluster/receive.ts";
import { clusterSettings } from "../../../server/cluster/settings.ts";
import type { Trust } from "../../../server/cluster/trust.ts";
import { manifestOf, pattern, versionOf } from "../../suite/store_suite.ts";
import { offering, outcomes } from "./offering.ts";

Deno.test("what is offered again while its body is on its way is brought once, and fails once", async () => {
  const brought: Manifest[] = [];
  const sources: string[] = [];
  let fail = (_error: unknown) => {};
  const stop = new AbortController();
  const receiver = new Receiver({
    catalog: {
      get: () => Promise.resolve(null),
      learn: () => Promise.resolve("wanted"),
      isWanted: () => null,
    },
    isListed: () => true,
    holders: new Holders(),
    filler: {
      bring: (manifest) => {
        brought.push(manifest);
        return new Promise((_, reject) => fail = reject);
      },
      together: () => Promise.resolve(),
      alsoAt: (_, source) => void sources.push(source),
    },
    trust: { fault: () => null } as unknown as Trust,
    clock: new HybridClock("b"),
    settings: clusterSettings({ waitMs: 1 }),
    now: Date.now,
    schedule: byTimer,
    log: silentLogger,
    signal: stop.signal,
    onMark: () => {},
    onHolder: () => {},
  });
  const offered = offering({ id: "a", url: "http://a" });
  const offer = offered.offer([offered.lie(manifestOf("/x", versionOf(1), pattern(100_000)))]);
  for (let times = 0; times < 5; times++) assertEquals(outcomes(await receiver.receive(offer)), ["PULLING"]);
  assertEquals([brought.length, sources], [1, ["a", "a", "a", "a"]]);
  fail(new CdnError("no", { source: "peer" }));
  await receiver.ended();
  assertEquals(outcomes(await receiver.receive(offer)), ["PULLING"], "a new try");
  assertEquals(brought.length, 2);
  fail(new CdnError("no", { source: "peer" }));
  await receiver.ended();
});
