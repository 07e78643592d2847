import { assertEquals } from "@std/assert";
import { pathPrice, rankSources, type Source } from "../../../server/cluster/paths.ts";

const us = { provider: "aws", region: "us-east-1" };
const eu = { provider: "aws", region: "eu-west-1" };
const azure = { provider: "azure", region: "westeurope" };
const hetzner = { provider: "hetzner", region: "fsn1" };

Deno.test("what a byte costs: nothing within a region, less within a cloud, the egress price of its place elsewhere", () => {
  assertEquals(pathPrice(us, us), 0);
  assertEquals(pathPrice(us, eu), 20_000_000);
  assertEquals(pathPrice(us, azure), 90_000_000);
  const egress = ({ provider }: { provider: string }) => provider === "hetzner" ? 1_100_000 : null;
  assertEquals([pathPrice(hetzner, us, egress), pathPrice(us, hetzner, egress)], [1_100_000, 90_000_000]);
});

const source = (id: string, place: Source["place"], rttMs: number | null, bytesPerMs: number | null, active = 0) => ({
  id,
  place,
  rttMs,
  bytesPerMs,
  active,
});
const rank = (sources: Source[], size = 1_000_000) => rankSources(sources, { to: eu, size, random: () => 0.5 });

Deno.test("the best link comes first; of those that are about as good the cheapest, then the least busy", () => {
  // 100 ms + 10 s, 100 ms + 1 s, 20 ms + 0.9 s: the last two are equal, and one of them is cheaper.
  assertEquals(
    rank([source("slow", eu, 100, 100), source("dear", azure, 20, 1100), source("cheap", us, 100, 1000)]),
    ["cheap", "dear", "slow"],
  );
  // What is far from the best is ordered by time, whatever it costs.
  assertEquals(rank([source("free", eu, 10, 10), source("paid", us, 10, 20), source("best", azure, 10, 10_000)]), [
    "best",
    "paid",
    "free",
  ]);
  assertEquals(rank([source("busy", us, 10, 1000, 3), source("idle", us, 12, 900, 1)]), ["idle", "busy"]);
  // For a small body only the round trip matters.
  assertEquals(rank([source("far", eu, 300, 10_000), source("near", azure, 5, 500)], 100), ["near", "far"]);
  assertEquals(rank([]), []);
});

Deno.test("a link that was never measured is tried before one that is known to be bad", () => {
  assertEquals(rank([source("bad", eu, 50, 1), source("new", eu, null, null)]), ["new", "bad"]);
});
