import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { jsonCodec, wire } from "../../proto/mod.ts";
import { explain } from "../../proxy/explain.ts";
import { explainPage } from "../../proxy/explain_page.ts";
import { criteriaOf, decide, emptyView, isReady, type ServerView, type View } from "../../proxy/view.ts";

function server(id: string, change: Partial<ServerView> = {}): ServerView {
  return {
    id,
    origin: `http://${id}:8080`,
    provider: "p",
    region: "r",
    connectMs: 10,
    rttMs: 10,
    bytesPerSecond: 1e6,
    confidence: 0.5,
    newestMs: 900,
    warmUntilMs: 0,
    egressNanoPerGb: 80,
    serverNanoPerGb: 20,
    nanoPerGb: 100,
    priceConfidence: "high",
    excluded: "",
    lastResort: "",
    ...change,
  };
}

const view = (servers: ServerView[], change: Partial<View> = {}): View => ({
  policy: "price",
  weight: 0.5,
  prices: "fresh",
  servers,
  trouble: "",
  ...change,
});
const size = { bytes: 1_000_000, from: "known" as const };
const unpriced = { egressNanoPerGb: 0, serverNanoPerGb: 0, nanoPerGb: NaN, priceConfidence: "none" };

Deno.test("the reason, in each situation", () => {
  const a = server("a");
  const b = server("b", { nanoPerGb: 50, rttMs: 50 });
  const down = { excluded: "down: connecting failed" };
  const rows: [View, chosen: string, reason: string][] = [
    [emptyView("price", 0.5), "", "No server is known: the servers have not been asked yet."],
    [view([a]), "a", "a is the only server to choose."],
    [view([a, b]), "b", "b has the lowest price."],
    [view([a, b], { policy: "network" }), "a", "a is predicted to be the fastest."],
    [
      view([a, b], { policy: "combined" }),
      "a",
      "a has the lowest sum of price and time, a second counted as $0.001.",
    ],
    [
      view([a, b], { prices: "stale" }),
      "b",
      "b has the lowest price. The pricing server is away: the last prices stand.",
    ],
    [
      view([{ ...a, ...unpriced }, b]),
      "b",
      "b has the lowest price. Without a price, and so after the others: a.",
    ],
    [
      view([{ ...a, ...unpriced }, { ...b, ...unpriced }], { prices: "none" }),
      "a",
      'No price is known, so the network decides in place of the policy "price": a is fastest.',
    ],
    [view([a, { ...b, ...down }]), "a", "a is the only server to choose. Not considered: b."],
    [view([{ ...a, ...down }, { ...b, ...down }]), "b", "Every server is down, so each is tried: b first."],
  ];
  for (const [given, chosen, reason] of rows) {
    const explanation = explain(given, "/x", size, 1000);
    assertEquals([explanation.chosen, explanation.reason], [chosen, reason]);
    assertEquals(explanation.candidates.length, given.servers.length);
    // Each of them can be sent, and read again.
    assertEquals(
      jsonCodec.decode(wire.ExplanationSchema, jsonCodec.encode(wire.ExplanationSchema, explanation)).reason,
      reason,
    );
    assertStringIncludes(explainPage(explanation), chosen || "goes nowhere");
  }
});

Deno.test("the candidates' figures", () => {
  const explanation = explain(view([server("a")], { policy: "combined" }), "/x", size, 1000);
  const { timeMs, priceNano, score, ageMs, excluded } = explanation.candidates[0]!;
  assertEquals({ timeMs, priceNano, score, ageMs, excluded }, {
    timeMs: 1020,
    priceNano: 0, // a tenth of a nano-dollar: shown whole, counted as it is
    score: 1_020_000.1,
    ageMs: 100,
    excluded: "",
  });
  assertEquals(explain(view([server("a", { newestMs: null })]), "/x", size, 1000).candidates[0]!.ageMs, -1);
});

Deno.test("what is told is what is decided", () => {
  const some = fc.record({
    rttMs: fc.double({ min: 0.1, max: 1000, noNaN: true }),
    nanoPerGb: fc.oneof(fc.constant(NaN), fc.integer({ min: 0, max: 1e9 })),
    excluded: fc.constantFrom("", "", "down: it"),
  });
  const views = fc.record({
    policy: fc.constantFrom("network" as const, "price" as const, "combined" as const),
    weight: fc.double({ min: 0, max: 1, noNaN: true }),
    prices: fc.constantFrom("fresh" as const, "stale" as const, "none" as const),
    list: fc.array(some, { maxLength: 20 }),
  });
  fc.assert(fc.property(views, fc.integer({ min: 0, max: 1e8 }), ({ list, ...rest }, bytes) => {
    const given = view(list.map((one, at) => server(`s${at}`, one)), rest);
    const explanation = explain(given, "/x", { bytes, from: "given" }, 1000);
    assertEquals(explanation.chosen, decide(given, bytes, 1000, 1)[0]?.id ?? "");
    assertEquals(new Set(explanation.candidates.map(({ id }) => id)).size, list.length);
    assert(explanation.candidates.length === 0 || explanation.candidates[0]!.id === explanation.chosen);
    assertEquals(criteriaOf(given).policy, rest.prices === "none" ? "network" : rest.policy);
  }));
});

Deno.test("the page escapes all that it shows", () => {
  const evil = `<img src=x onerror=alert(1)>"'&`;
  const hostile = server("a", {
    id: evil,
    provider: evil,
    region: evil,
    origin: evil,
    excluded: evil,
    priceConfidence: evil,
  });
  const page = explainPage(explain(view([hostile], { trouble: evil }), evil, size, 1000));
  assert(!page.includes("<img"));
});

Deno.test("ready: a server that is up has been measured", () => {
  assertEquals(
    [[], [server("a", { newestMs: null })], [server("a", { excluded: "down" })], [server("a")]].map((list) =>
      isReady(view(list))
    ),
    [false, false, false, true],
  );
});
