/** The parts that decide: health, places, URLs, settings, the loop guard. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CdnError } from "../../../../proto/mod.ts";
import type { BodySource } from "../../../../runtime/http1/body_source.ts";
import { Health } from "../../../../server/edge/origins/health.ts";
import { loopGuard, ORIGIN_DEFAULTS, originSettings, parseOriginUrl } from "../../../../server/edge/origins/mod.ts";
import { type Leave, Places } from "../../../../server/edge/origins/places.ts";
import { WatchedBody } from "../../../../server/edge/origins/watched_body.ts";
import { Clock, middle } from "./kit.ts";

Deno.test("origin URLs: what is taken, and how it is written from then on", () => {
  for (
    const [given, taken] of [
      ["http://a.example", "http://a.example"],
      ["https://A.Example/", "https://a.example"],
      ["HTTPS://a.example:443", "https://a.example"],
      ["http://a.example:443", "http://a.example:443"],
      ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
      ["https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"],
      ["http://bücher.example", "http://xn--bcher-kva.example"],
    ] as const
  ) assertEquals(parseOriginUrl(given), taken, given);
});

Deno.test("origin URLs: what is refused, and what would be right", () => {
  for (
    const [given, why] of [
      ["a.example", "must start with http:// or https://"],
      ["ftp://a.example", "must start with http:// or https://"],
      ["//a.example", "must start with http:// or https://"],
      ["http:a.example", "must start with http:// or https://"],
      ["file:///etc/passwd", "must start with http:// or https://"],
      ["", "must start with"],
      ["http://", "must have a host"],
      ["http:///x", "must end after host and port"],
      ["http://:80", "must have a host"],
      ["http://a.example:0", "must have a port"],
      ["http://a.example:65536", "and a port from 1 to 65535"],
      ["http://a.example/base", "must end after host and port"],
      ["http://a.example//", "must end after host and port"],
      ["http://a.example\\evil", "must end after host and port"],
      ["http://a.example?x", "must end after host and port"],
      ["http://a.example/#x", "must end after host and port"],
      ["http://me@a.example", "must have no user name"],
      ["http://me:secret@a.example", "must have no user name"],
      ["http://a.example\r\nx", "must have no space"],
      ["http://a\t.example", "must have no space"],
      [" http://a.example", "must start with"],
      ["http://a b.example", "must have no space"],
    ] as const
  ) assertThrows(() => parseOriginUrl(given), Error, why, given);
});

Deno.test("settings: the defaults hold, and what makes no sense is refused", () => {
  assertEquals(originSettings(), ORIGIN_DEFAULTS);
  assertEquals(originSettings({ maxWaiting: 0, maxWaitMs: 0 }).maxWaiting, 0);
  for (
    const wrong of [
      { maxActive: 0 },
      { maxWaiting: -1 },
      { headTimeoutMs: NaN },
      { connectTimeoutMs: 1.5 },
      { firstOutMs: 2, mostOutMs: 1 },
      { probeTarget: "healthz" },
      { probeTarget: "/a b" },
      { probeTarget: "http://a.example/" },
    ]
  ) assertThrows(() => originSettings(wrong), RangeError);
});

Deno.test("health: so many failures in a row take it out, and a whole answer ends the row", () => {
  const health = new Health(ORIGIN_DEFAULTS, middle);
  for (let round = 0; round < 5; round++) {
    assertEquals([health.failed("x", 0), health.failed("x", 0)], [false, false]);
    health.succeeded();
  }
  assertEquals([1, 2, 3].map(() => health.failed("no answer", 500)), [false, false, true]);
  assertEquals([health.healthy, health.reason, health.probeAtMs], [false, "no answer", 1500]);
  assertEquals(health.failed("another", 900), false, "what was under way tells nothing new");
  health.succeeded();
  assertEquals([health.healthy, health.reason, health.probeAtMs], [false, "no answer", 1500], "nor does this");
});

Deno.test("health: probes wait longer and longer, and what answers probes alone is out for longer each time", () => {
  const health = new Health({ failuresInARow: 1, firstOutMs: 1000, mostOutMs: 5000 }, middle);
  health.failed("x", 0);
  const waits = [health.probeAtMs];
  for (let times = 0; times < 3; times++) {
    health.probeFailed("still", 0);
    waits.push(health.probeAtMs);
  }
  assertEquals(waits, [1000, 2000, 4000, 5000]);
  assertEquals([health.answered(), health.answered(), health.healthy, health.reason], [true, false, true, ""]);
  health.failed("x", 0);
  assertEquals(health.probeAtMs, 5000, "no whole answer came since");
  health.answered();
  health.succeeded();
  health.failed("x", 0);
  assertEquals(health.probeAtMs, 1000);
  health.answered();
  health.probeFailed("a late one", 0);
  assertEquals(health.healthy, true, "a probe takes nobody out");
});

Deno.test("health: back on probation, one failure is enough", () => {
  const health = new Health(ORIGIN_DEFAULTS, middle);
  for (let times = 0; times < 3; times++) health.failed("x", 0);
  health.answered();
  assertEquals(health.failed("again", 0), true);
});

Deno.test("health: jitter keeps within a quarter", () => {
  for (const [random, expected] of [[0, 750], [0.5, 1000], [0.999999, 1250]] as const) {
    const health = new Health({ ...ORIGIN_DEFAULTS, failuresInARow: 1 }, () => random);
    health.failed("x", 0);
    assertEquals(Math.round(health.probeAtMs!), expected);
  }
});

const never = new AbortController().signal;

Deno.test("places: first come, first served, and a place is handed on without a gap", async () => {
  const clock = new Clock();
  const places = new Places({ most: 2, mostWaiting: 2, schedule: clock.schedule });
  const first = places.tryEnter()!;
  const second = places.tryEnter()!;
  assertEquals(places.tryEnter(), null);
  const order: string[] = [];
  const wait = (name: string) =>
    places.enter(never, 100).then((place) => {
      order.push(name);
      return place as Leave;
    });
  const third = wait("third");
  const fourth = wait("fourth");
  assertEquals(await places.enter(never, 100), "full");
  assertEquals([places.active, places.waiting], [2, 2]);
  first();
  first();
  assertEquals(places.tryEnter(), null, "it is the third's already");
  const leaveThird = await third;
  assertEquals([places.active, places.waiting, order], [2, 1, ["third"]]);
  second();
  (await fourth)();
  leaveThird();
  assertEquals([places.active, places.waiting, order, clock.alarms], [0, 0, ["third", "fourth"], []]);
});

Deno.test("places: a signal is listened to only while somebody waits", async () => {
  let listeners = 0;
  const signal = {
    aborted: false,
    addEventListener: () => void listeners++,
    removeEventListener: () => void listeners--,
  };
  const clock = new Clock();
  const places = new Places({ most: 1, mostWaiting: 10, schedule: clock.schedule });
  const leave = await places.enter(signal, 100) as Leave;
  assertEquals(listeners, 0);
  const waits = [places.enter(signal, 100), places.enter(signal, 50)];
  assertEquals(listeners, 2);
  clock.pass(50);
  leave();
  await Promise.all(waits);
  assertEquals(listeners, 0);
});

Deno.test("places: who waits may go, be late, or be sent away, and leaves nothing behind", async () => {
  const clock = new Clock();
  const places = new Places({ most: 1, mostWaiting: 10, schedule: clock.schedule });
  const leave = places.tryEnter()!;
  const gone = new AbortController();
  const waits = [places.enter(gone.signal, 100), places.enter(never, 50), places.enter(never, 100)];
  gone.abort();
  clock.pass(50);
  assertEquals([places.waiting, clock.alarms], [1, [50]]);
  places.dismiss();
  assertEquals(await Promise.all(waits), ["aborted", "late", "dismissed"]);
  assertEquals([places.active, places.waiting, clock.alarms], [1, 0, []]);
  assertEquals(await places.enter(gone.signal, 100), "aborted");
  assertEquals(await places.enter(never, 0), "late");
  assertEquals(places.tryEnter(5), null, "a higher limit than its own is none");
  const last = places.enter(never, 100);
  places.close();
  assertEquals([await last, await places.enter(never, 100)], ["closed", "closed"]);
  leave();
  assertEquals([places.active, places.tryEnter()], [0, null]);
});

Deno.test("a watched body says once how it ended, and listens to its signal no longer than that", async () => {
  let listeners = 0;
  const signal = {
    aborted: false,
    addEventListener: () => void listeners++,
    removeEventListener: () => void listeners--,
  };
  const inner = (): BodySource => {
    let left = 2;
    return {
      get done() {
        return left === 0;
      },
      get held() {
        return left;
      },
      ready: false,
      take: () => left-- > 0 ? 1 : 0,
      read: () => left === 2 ? Promise.resolve(left--) : Promise.reject(new Error("broken")),
      cancel: () => void (left = 0),
    };
  };
  const into = new Uint8Array(1);
  const ends: string[] = [];
  const watched = () => new WatchedBody(inner(), signal, ({ kind }) => void ends.push(kind));
  const read = watched();
  read.take(into);
  assertEquals([ends, listeners, read.held, read.done], [[], 1, 1, false]);
  read.take(into);
  read.cancel();
  const given = watched();
  given.cancel();
  given.cancel();
  const broken = watched();
  await broken.read(into);
  for (let times = 0; times < 2; times++) await assertRejects(() => broken.read(into), Error, "broken");
  assertEquals([ends, listeners], [["whole", "given-up", "broken"], 0]);
});

Deno.test("the loop guard adds us at the end, after all that was there", () => {
  const guard = loopGuard("edge-a");
  assertEquals(guard([["accept", "*/*"]]), [["accept", "*/*"], ["via", "1.1 edge-a"], ["cdn-loop", "edge-a"]]);
  assertEquals(
    guard([["via", "1.1 p"], ["cdn-loop", 'other; a="b, c"'], ["x", "y"], ["via", "2 q (edge-a)"], [
      "cdn-loop",
      "a.example:8080",
    ]], "2"),
    [["x", "y"], ["via", "1.1 p, 2 q (edge-a), 2 edge-a"], [
      "cdn-loop",
      'other; a="b, c", a.example:8080, edge-a',
    ]],
  );
  // What it wrote another edge may add to, and it comes back only as a loop.
  const passed = guard([]);
  assertEquals(loopGuard("edge-b")(passed), [["via", "1.1 edge-a, 1.1 edge-b"], ["cdn-loop", "edge-a, edge-b"]]);
  assertThrows(() => guard(loopGuard("edge-b")(passed)), CdnError);
});

Deno.test("the loop guard finds us wherever we stand, and in no other's name", () => {
  const guard = loopGuard("edge-a");
  const loops: [string, string][] = [
    ["via", "1.1 edge-a"],
    ["via", "1.0 p, HTTP/1.1 edge-a (a comment)"],
    ["cdn-loop", "edge-a"],
    ["cdn-loop", "other, edge-a; hops=2"],
    ["cdn-loop", "other ,\tEDGE-A ;x"],
    ["cdn-loop", 'other; x="never closed, edge-a'],
  ];
  for (const line of loops) {
    const error = assertThrows(() => guard([["cdn-loop", "x"], ["via", "1.1 x"], line]), CdnError, "loop", line[1]);
    assertEquals([error.status, error.source, error.retry], [508, "client", false]);
  }
  for (const value of ["edge-ab", "my-edge-a", "x; by=edge-a", "", ",", "edge-a.example"]) {
    assert(guard([["cdn-loop", value], ["via", `1.1 ${value}`]]).length === 2, value);
  }
  for (const pseudonym of ["", "a b", "a,b", "a\r\nx: y", 'a"']) assertThrows(() => loopGuard(pseudonym), TypeError);
});
