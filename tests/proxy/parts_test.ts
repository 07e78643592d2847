/** The proxy's small pure parts. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { parseDictionary } from "structured-headers";
import { CdnError, splitTarget, wire } from "../../proto/mod.ts";
import { members } from "../../proxy/directory.ts";
import { routeField, timingField } from "../../proxy/fields.ts";
import { hasPassed, requestFields } from "../../runtime/http1/pass_on.ts";
import { Health } from "../../proxy/health.ts";
import { admit, authorityOf, checkName } from "../../proxy/hosts.ts";
import { Prices } from "../../proxy/prices.ts";
import { Quota } from "../../proxy/quota.ts";
import { proxySettings } from "../../proxy/settings.ts";
import { rangeBytes, SizeMemory, sizeOf } from "../../proxy/sizes.ts";
import { UsageMeter } from "../../proxy/usage.ts";

Deno.test("hosts: who is answered, and where a request goes", () => {
  const hosts = {
    names: new Set(["cdn.example.com"]),
    servers: new Set(["a.example.net:8080", "127.0.0.1:8081", "plain.example.net:80", "[2001:db8::1]:8080"]),
    port: 8000,
  };
  const rows: [url: string, where: "own" | "forward" | number][] = [
    ["http://cdn.example.com/x", "forward"],
    ["http://CDN.example.com:99/x", "forward"],
    ["http://cdn.example.com./x", "forward"],
    ["http://a.example.net:8080/x", "forward"],
    ["http://a.example.net/x", 403],
    ["http://a.example.net:8081/x", 403],
    ["http://plain.example.net/x", "forward"],
    ["http://127.0.0.1:8081/x", "forward"],
    ["http://127.0.0.1:8082/x", 403],
    ["http://[2001:db8::1]:8080/x", "forward"],
    ["http://localhost:8000/x", "forward"],
    ["http://127.0.0.1:8000/-/explain?path=/x", "own"],
    ["http://a.example.net:8080/-/v1/servers", "own"],
    ["http://127.0.0.1:8000/-", "own"],
    ["http://[::1]:8000/x", "forward"],
    ["http://192.0.2.7:8000/x", "forward"],
    ["http://192.0.2.7/x", 403],
    ["http://evil.example:8000/x", 403],
    ["http://evil.example/-/explain", 403],
    ["http://localhost.evil.example:8000/x", 403],
    ["http://cdn.example.com.evil.example/x", 403],
    ["http://127.0.0.1:8000@evil.example/x", 403],
    ["http://cdn.example.com:x@evil.example/x", 403],
    ["http://cdn.example.com:999999/x", 403],
    ["http://evil.example@127.0.0.1:8000/x", 403],
    ["http:///x", 403],
    ["/x", 403],
  ];
  for (const [url, where] of rows) {
    let got: unknown;
    try {
      got = admit("GET", splitTarget(url), hosts);
    } catch (error) {
      got = (error as CdnError).status;
    }
    assertEquals(got, where, url);
  }
  for (const method of ["CONNECT", "TRACE", "OPTIONS", "PATCH"]) {
    const error = assertThrows(() => admit(method, splitTarget("http://cdn.example.com/"), hosts), CdnError);
    assertEquals([error.status, error.headers.allow], [405, "GET, HEAD, PUT, DELETE, POST"]);
  }
  assertEquals(authorityOf("https://a.example"), "a.example:443");
});

Deno.test("hosts: whatever the authority, only ours get in, and nothing else is thrown", () => {
  const hosts = { names: new Set(["cdn.example.com"]), servers: new Set(["a.example.net:8080"]), port: 8000 };
  fc.assert(fc.property(fc.string(), (authority) => {
    try {
      admit("GET", splitTarget(`http://${authority}/x`), hosts);
    } catch (error) {
      assert(error instanceof CdnError && error.status === 403);
    }
  }));
});

Deno.test("names to answer for", () => {
  assertEquals(checkName("CDN.Example.com."), "cdn.example.com");
  for (const wrong of ["", "a b", "a:80", "-a", "a..b", "http://a"]) assertThrows(() => checkName(wrong));
});

Deno.test("fields: Via names a proxy only where it stands as a whole word", () => {
  const rows: [string | null, boolean][] = [
    [null, false],
    ["1.1 me", true],
    ["1.0 first, HTTP/1.1 me (a comment)", true],
    ["1.1 me2", false],
    ["me", false],
  ];
  for (const [via, passed] of rows) assertEquals(hasPassed(via, "me"), passed, String(via));
});

Deno.test("fields: what goes on to a server", () => {
  const hop = { client: "::1", host: 'h"x:80', scheme: "http", pseudonym: "me", dropOrigin: true };
  const lines = requestFields(new Headers({ origin: "http://a", "keep-alive": "1", cookie: "c", host: "x" }), hop);
  assertEquals(lines, [
    ["cookie", "c"],
    ["via", "1.1 me"],
    ["forwarded", 'for="[::1]";host="hx:80";proto=http'],
    ["x-forwarded-for", "::1"],
  ]);
});

Deno.test("fields: Metacdn-Route is a dictionary of RFC 9651", () => {
  const field = routeField({ server: "a", policy: "price", prices: "fresh", failed: ["b", "c"] });
  assertEquals(field, 'server="a", policy=price, prices=fresh, failed=("b" "c")');
  assertEquals(parseDictionary(field).get("server")![0], "a");
  assertEquals(timingField({ decide: 0.01234, head: 5 }), "decide;dur=0.012, head;dur=5");
});

Deno.test("sizes: ranges count as long as they are", () => {
  const rows: [string, number | null][] = [
    ["bytes=0-99", 100],
    ["bytes=900-", 100],
    ["bytes=-10", 10],
    ["bytes=-5000", 1000],
    ["bytes=0-0, 5-9", 6],
    ["bytes=2000-", 0],
    ["bytes=9-5", null],
    ["bytes=-", null],
    ["bytes=a-b", null],
    ["items=0-1", null],
    ["bytes=0-99999999999999999999", null],
  ];
  for (const [field, bytes] of rows) assertEquals(rangeBytes(field, 1000), bytes, field);
  assertEquals(sizeOf(200, [["content-length", "12"]]), 12);
  assertEquals(sizeOf(206, [["content-length", "2"], ["content-range", "bytes 0-1/12"]]), 12);
  assertEquals(sizeOf(206, [["content-range", "bytes 0-1/*"]]), null);
  assertEquals(sizeOf(404, [["content-length", "12"]]), null);
});

Deno.test("sizes: the memory is bounded, and forgets what was not used longest", () => {
  const sizes = new SizeMemory({ most: 2, assumedBytes: 7 });
  assertEquals(sizes.learn("/a", 1), true);
  sizes.learn("/b", 2);
  assertEquals(sizes.learn("/a", 1), false);
  sizes.learn("/c", 3);
  assertEquals(["/a", "/b", "/c"].map((path) => sizes.predict(path)), [
    { bytes: 1, from: "known" },
    { bytes: 7, from: "assumed" },
    { bytes: 3, from: "known" },
  ]);
  assertEquals(sizes.predict("/c", "bytes=0-0").bytes, 1);
  assertEquals(sizes.predict("/c", "nonsense").bytes, 3);
});

Deno.test("health: what takes a server off, and how long until it is tried again", () => {
  const rows: [Parameters<Health["failed"]>[0], needed: number][] = [
    ["connect-failed", 1],
    ["timeout", 1],
    ["broken", 2],
    ["server-error", 3],
  ];
  for (const [outcome, needed] of rows) {
    const health = new Health();
    for (let n = 1; n < needed; n++) assertEquals(health.failed(outcome, 0, 0.5), false);
    assert(health.failed(outcome, 0, 0.5), outcome);
    assert(health.excluded.startsWith("down: "));
  }
  const health = new Health({ firstMs: 1000, mostMs: 5000 });
  let now = 0;
  const waits: number[] = [];
  for (let n = 0; n < 5; n++) {
    health.failed("connect-failed", now, 0.5);
    waits.push(health.retryAtMs! - now);
    assertEquals(health.mayProbe(health.retryAtMs! - 1), false);
    now = health.retryAtMs!;
    assert(health.mayProbe(now));
  }
  assertEquals(waits, [1000, 2000, 4000, 5000, 5000]);
  // A failure that was under way meanwhile does not put the next probe off.
  health.failed("connect-failed", now, 0.5);
  const at = health.retryAtMs;
  health.failed("connect-failed", now + 1, 0.5);
  assertEquals(health.retryAtMs, at);
  health.succeeded();
  assertEquals([health.excluded, health.retryAtMs], ["", null]);
  assertEquals(new Health().failed("viewer-left", 0, 0), false);
});

const place = (id: string) => ({ provider: "p", region: "r", id });

function quotes(entries: Record<string, Partial<wire.Quote>>): wire.QuoteAnswer {
  return create(wire.QuoteAnswerSchema, {
    quotes: Object.entries(entries).map(([server, quote]) => ({
      egressNanoPerGb: quote.egressNanoPerGb ?? 0n,
      serverNanoPerGb: quote.serverNanoPerGb ?? 0n,
      confidence: quote.confidence ?? 0,
      error: quote.error ?? "",
      ...(quote.bytesUntilChange === undefined ? {} : { bytesUntilChange: quote.bytesUntilChange }),
      place: { provider: "p", region: "r", server },
    })),
  });
}

Deno.test("prices: fresh by age, then stale; a quote with an error is none", () => {
  const prices = new Prices(6000);
  assertEquals([prices.state(0), prices.of(place("a"))], ["none", null]);
  prices.learn(
    quotes({
      a: { egressNanoPerGb: 5n, serverNanoPerGb: 2n, confidence: 3, bytesUntilChange: 9n },
      b: { error: "no sheet" },
    }),
    1000,
  );
  assertEquals(prices.of(place("a")), {
    egressNanoPerGb: 5,
    serverNanoPerGb: 2,
    confidence: "high",
    bytesUntilChange: 9,
  });
  assertEquals(prices.of(place("b")), null);
  assertEquals([7000, 7001].map((at) => prices.state(at)), ["fresh", "stale"]);
  prices.learn(quotes({}), 8000);
  assertEquals(prices.state(8000), "none");
});

Deno.test("quota: the first byte past a tier's end says so, once", () => {
  const quota = new Quota();
  quota.quoted([["p", 100], ["p", 50], ["q", 10]]);
  assertEquals([49, 1, 1].map((bytes) => quota.spend("p", bytes)), [false, true, false]);
  assertEquals([quota.spend("q", 1000), quota.spend("other", 1000)], [true, false]);
  quota.quoted([]);
  assertEquals(quota.spend("p", 1000), false);
});

Deno.test("usage: cumulative, by month, sent again only where it grew or did not arrive", () => {
  const meter = new UsageMeter("me");
  const november = Date.UTC(2026, 10, 30, 23, 59, 59);
  const december = Date.UTC(2026, 11, 1);
  const flat = () =>
    meter.pending("p").map(({ report, sent }) => {
      sent();
      return [report.month, ...report.counts.map(({ place, bytes }) => `${place!.server}:${bytes}`)].join(" ");
    });
  assertEquals(flat(), []);
  meter.add(place("a"), 10, november);
  meter.add(place("b"), 5, november);
  meter.add(place("a"), 10, november);
  meter.add(place("a"), 0, november);
  assertEquals(meter.pending("p").length, 1, "it did not arrive");
  assertEquals(flat(), ["2026-11 a:20 b:5"]);
  assertEquals(flat(), []);
  meter.add(place("a"), 1, november);
  meter.add(place("a"), 3, december);
  assertEquals(flat(), ["2026-11 a:21 b:5", "2026-12 a:3"]);
  meter.add(place("a"), 4, december);
  assertEquals(flat(), ["2026-12 a:7"]);
  assertEquals(meter.pending("q").map(({ report }) => report.month), ["2026-11", "2026-12"], "another lacks all of it");

  const [under] = meter.pending("q").slice(1);
  meter.add(place("a"), 1, december);
  under!.sent();
  assertEquals(
    meter.pending("q").at(-1)!.report.counts[0]!.bytes,
    8n,
    "what was counted meanwhile is still to be told",
  );
  meter.add(place("a"), Number.MAX_SAFE_INTEGER, december);
  assertEquals(meter.pending("q").at(-1)!.report.counts[0]!.bytes, 2n ** 53n - 1n, "no count beyond what is taken");
});

Deno.test("the list: removed ones are left out, each id once, by id", () => {
  const list = create(wire.ServerListSchema, {
    servers: ["b", "a", "c"].map((id) => ({
      id,
      url: `http://${id}:1`,
      provider: "p",
      region: "r",
      removed: id === "c",
    })),
  });
  assertEquals(members(list).map(({ id, origin }) => `${id} ${origin}`), ["a http://a:1", "b http://b:1"]);
});

Deno.test("settings: defaults, and what makes no sense", () => {
  assertEquals(proxySettings({ names: ["CDN.example.com"] }).names, ["cdn.example.com"]);
  for (const wrong of [{ weight: 2 }, { probeIntervalMs: 0 }, { servers: [] }, { assumedBytes: NaN }]) {
    assertThrows(() => proxySettings(wrong), RangeError);
  }
});
