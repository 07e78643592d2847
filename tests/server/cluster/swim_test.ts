import { assert, assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { wire } from "../../../proto/mod.ts";
import { News } from "../../../server/cluster/news.ts";
import { RoundTrips } from "../../../server/cluster/round_trips.ts";
import { SteadyClock } from "../../../server/cluster/steady_clock.ts";
import { type State, supersedes, Swim, type Word, wordFromWire, wordToWire } from "../../../server/cluster/swim.ts";
import { retransmissions, suspicionMs, swimDefaults, syncWaitMs } from "../../../server/cluster/swim_settings.ts";
import { seeded } from "../../sim/prng.ts";

const settings = swimDefaults;

function swim(others: string[] = ["b", "c", "d"]): Swim {
  const made = new Swim("a", 5, settings);
  made.follow(new Set(others), 0, seeded(1));
  return made;
}

function word(id: string, state: State, incarnation: number): Word {
  return { id, state, incarnation };
}

Deno.test("which word supersedes which: the rules of SWIM §4.2", () => {
  const rules: [State, number, State, number, boolean][] = [
    // alive(i) supersedes everything of j < i, and nothing else.
    ["alive", 2, "alive", 1, true],
    ["alive", 2, "suspect", 1, true],
    ["alive", 2, "dead", 1, true],
    ["alive", 2, "left", 1, true],
    ["alive", 2, "alive", 2, false],
    ["alive", 2, "suspect", 2, false],
    ["alive", 2, "dead", 2, false],
    ["alive", 2, "left", 2, false],
    // suspect(i) supersedes alive(j <= i), suspect(j < i).
    ["suspect", 2, "alive", 2, true],
    ["suspect", 2, "alive", 1, true],
    ["suspect", 2, "alive", 3, false],
    ["suspect", 2, "suspect", 1, true],
    ["suspect", 2, "suspect", 2, false],
    ["suspect", 2, "dead", 2, false],
    ["suspect", 2, "left", 2, false],
    // dead(i) and left(i) supersede alive(j <= i), suspect(j <= i).
    ["dead", 2, "alive", 2, true],
    ["dead", 2, "suspect", 2, true],
    ["dead", 2, "suspect", 1, true],
    ["dead", 2, "alive", 3, false],
    ["dead", 2, "suspect", 3, false],
    ["dead", 2, "dead", 2, false],
    ["left", 2, "alive", 2, true],
    ["left", 2, "suspect", 2, true],
    ["left", 2, "alive", 3, false],
    ["left", 2, "dead", 2, true],
    ["dead", 2, "left", 2, false],
  ];
  for (const [a, i, b, j, expected] of rules) {
    assertEquals(
      supersedes({ state: a, incarnation: i }, { state: b, incarnation: j }),
      expected,
      `${a}(${i}) on ${b}(${j})`,
    );
  }
});

Deno.test("the order in which news arrives does not matter", () => {
  const any = fc.record({
    id: fc.constantFrom("b", "c"),
    state: fc.constantFrom<State>("alive", "suspect", "dead", "left"),
    incarnation: fc.integer({ min: 1, max: 4 }),
  });
  const after = (words: Word[]) => {
    const made = swim();
    for (const one of words) made.merge(one, 0);
    return made.words().slice(1).sort((a, b) => a.id < b.id ? -1 : 1);
  };
  fc.assert(fc.property(fc.array(any, { maxLength: 8 }), (words) => {
    assertEquals(after([...words].reverse()), after(words));
    assertEquals(after([...words, ...words]), after(words));
  }));
});

Deno.test("news that we are not alive is refuted by a higher incarnation, until we left", () => {
  const made = swim();
  assertEquals(made.merge(word("a", "suspect", 4), 0), null);
  assertEquals(made.merge(word("a", "alive", 5), 0), null);
  assertEquals(made.merge(word("a", "suspect", 5), 0), { id: "a", state: "alive", incarnation: 6, before: "suspect" });
  assertEquals(made.merge(word("a", "dead", 9), 0)?.incarnation, 10);
  assertEquals(made.merge(word("a", "alive", 12), 0)?.incarnation, 13);
  assertEquals(made.leave(), word("a", "left", 13));
  assertEquals(made.merge(word("a", "dead", 20), 0), null);
  assertEquals(made.self, word("a", "left", 13));
});

Deno.test("an incarnation that leaps is a lie: it would leave the server no higher number", () => {
  const made = swim();
  assertEquals(made.merge(word("a", "dead", Number.MAX_SAFE_INTEGER - 1), 0), null);
  assertEquals(made.merge(word("b", "dead", 2 ** 40), 0), null);
  assertEquals(made.get("b")?.state, "unknown");
});

Deno.test("a suspicion that nobody refutes becomes a death, and one that is refuted does not", () => {
  const made = swim();
  made.merge(word("b", "alive", 1), 0);
  made.merge(word("c", "alive", 1), 0);
  const least = suspicionMs(4, settings);
  assertEquals(made.suspect("b", 1000)?.state, "suspect");
  assertEquals(made.suspect("b", 1500), null);
  made.suspect("c", 1000);
  assertEquals(made.expire(1000 + least - 1), []);
  made.merge(word("c", "alive", 2), 1000);
  assertEquals(made.expire(1000 + least), [{ id: "b", state: "dead", incarnation: 1, before: "suspect" }]);
  assertEquals([made.get("b")?.state, made.get("c")?.state], ["dead", "alive"]);
  assertEquals(made.suspect("b", 9000), null);
  assertEquals(made.merge(word("b", "alive", 1), 9000), null);
  assertEquals(made.merge(word("b", "alive", 2), 9000)?.state, "alive");
});

Deno.test("a suspicion of a higher incarnation starts the wait anew", () => {
  const made = swim();
  made.merge(word("b", "suspect", 1), 0);
  made.merge(word("b", "suspect", 2), 3000);
  assertEquals(made.expire(suspicionMs(4, settings)), []);
  assertEquals(made.expire(3000 + suspicionMs(4, settings)).length, 1);
});

Deno.test("whoever was heard is not dead before the time is over again", () => {
  const made = swim();
  const least = suspicionMs(4, settings);
  made.merge(word("b", "suspect", 1), 0);
  made.heard("b", 3000);
  assertEquals([made.heardWithin("b", 3000 + least - 1), made.heardWithin("b", 3000 + least)], [true, false]);
  assertEquals(made.expire(3000 + least - 1), []);
  assertEquals(made.expire(3000 + least).length, 1);
});

Deno.test("half way to a death it is looked for once more, once for each suspicion", () => {
  const made = swim();
  for (const id of ["b", "c", "d"]) made.merge(word(id, "suspect", 1), 0);
  const [half, random] = [suspicionMs(4, settings) / 2, seeded(1)];
  assertEquals(made.doubted(half - 1, 2, random), []);
  const looked = made.doubted(half, 2, random);
  assertEquals(looked.length, 2);
  assertEquals([...looked, ...made.doubted(half, 2, random)].sort(), ["b", "c", "d"]);
  assertEquals(made.doubted(half, 2, random), []);
  made.merge(word("b", "suspect", 2), half);
  assertEquals(made.doubted(2 * half, 2, random), ["b"]);
});

Deno.test("of servers that are not on the list nothing is known", () => {
  const made = swim(["b"]);
  assertEquals(made.merge(word("z", "dead", 1), 0), null);
  assertEquals(made.words(), [word("a", "alive", 5)]);
  made.merge(word("b", "alive", 1), 0);
  assertEquals(made.follow(new Set(["c"]), 0, seeded(1)), ["b"]);
  assertEquals([made.get("b"), made.get("c")?.state], [null, "unknown"]);
});

Deno.test("each round pings everybody once who takes part, in another order each", () => {
  const ids = Array.from({ length: 20 }, (_, at) => `s${at}`);
  const made = swim(ids);
  made.merge(word("s3", "dead", 1), 0);
  made.merge(word("s4", "left", 1), 0);
  made.merge(word("s5", "suspect", 1), 0);
  const random = seeded(7);
  const round = () => Array.from({ length: 18 }, () => made.next(random)!);
  const [first, second] = [round(), round()];
  const expected = ids.filter((id) => id !== "s3" && id !== "s4").sort();
  assertEquals([first.toSorted(), second.toSorted()], [expected, expected]);
  assert(first.join() !== second.join());
  assertEquals(swim([]).next(random), null);
  assertEquals(swim(["b"]).next(random, () => true), null);
});

Deno.test("helpers are random ones of the living, never the one in question", () => {
  const made = swim(["b", "c", "d", "e", "f"]);
  for (const id of ["b", "c", "d", "e"]) made.merge(word(id, "alive", 1), 0);
  made.suspect("e", 0);
  const random = seeded(3);
  const seen = new Set<string>();
  for (let at = 0; at < 50; at++) {
    const helpers = made.some(2, random, "b");
    assertEquals(new Set(helpers).size, 2);
    for (const id of helpers) seen.add(id);
  }
  assertEquals([...seen].sort(), ["c", "d"]);
});

Deno.test("the dead are tried again, more and more rarely, and at once where there is hope", () => {
  const made = swim(["b"]);
  made.merge(word("b", "dead", 1), 0);
  const half = () => 0.5;
  assertEquals(made.retry(29_999, half), null);
  assertEquals(made.retry(30_000, half), "b");
  assertEquals(made.retry(89_999, half), null);
  assertEquals(made.retry(90_000, half), "b");
  assertEquals(made.retry(209_999, half), null);
  assertEquals(made.retry(210_000, half), "b");
  assertEquals(made.retry(329_999, half), null);
  made.hope("b");
  assertEquals(made.retry(329_999, half), "b");
});

Deno.test("what was believed while nobody was reached is taken back", () => {
  const made = swim();
  made.merge(word("b", "dead", 3), 100);
  made.merge(word("c", "alive", 4), 100);
  made.suspect("c", 2000);
  made.suspect("d", 2000);
  made.expire(20_000);
  assertEquals(made.pardon(1000), ["c", "d"]);
  assertEquals(made.get("c"), { ...made.get("c")!, state: "unknown", incarnation: 0 });
  assertEquals(made.get("b")?.state, "dead");
  assertEquals(made.merge(word("c", "alive", 4), 21_000)?.state, "alive");
});

Deno.test("news: the least told first, of these the newest, and each so often", () => {
  const news = new News();
  for (const key of ["x", "y", "z"]) news.add(key);
  assertEquals(news.take(2, 2), ["z", "y"]);
  assertEquals(news.take(2, 2), ["x", "z"]);
  news.add("w");
  assertEquals(news.take(2, 2), ["w", "y"]);
  news.add("x"); // something newer of it: from the beginning
  assertEquals(news.take(9, 2), ["x", "w"]);
  assertEquals(news.take(9, 2), ["x"]);
  assertEquals([news.take(9, 2), news.size], [[], 0]);
});

Deno.test("waits and repetitions grow with the logarithm of the number of servers", () => {
  assertEquals([1, 9, 99, 999].map((n) => suspicionMs(n, settings)), [4000, 4000, 8000, 12000]);
  assertEquals([1, 9, 10, 99, 100].map((n) => retransmissions(n, settings)), [4, 4, 8, 8, 12]);
  assertEquals([2, 32, 64, 100, 450].map((n) => syncWaitMs(n, settings)), [30e3, 30e3, 60e3, 90e3, 150e3]);
});

Deno.test("a steady clock neither goes back nor leaps", () => {
  let now = 1000;
  const clock = new SteadyClock(() => now, 500);
  const at = (ms: number) => {
    now = ms;
    return clock.read();
  };
  assertEquals([at(1300), at(3_600_000), at(3_600_100), at(0), at(10)], [300, 800, 900, 900, 910]);
});

Deno.test("a pong is waited for longer where the round trip is longer, at least three times", () => {
  const trips = new RoundTrips(500);
  assertEquals(trips.timeoutMs("b"), 1500);
  trips.add("b", 20);
  assertEquals(trips.timeoutMs("b"), 500);
  for (let at = 0; at < 100; at++) trips.add("c", 300);
  assertEquals(Math.round(trips.timeoutMs("c")), 900);
  for (let at = 0; at < 100; at++) trips.add("c", at % 2 ? 100 : 900);
  assert(trips.timeoutMs("c") > 1500);
  trips.forget("c");
  assertEquals(trips.timeoutMs("c"), 1500);
});

Deno.test("a word survives its message; one that nobody can have said does not", () => {
  for (const state of ["alive", "suspect", "dead", "left"] as const) {
    const one = word("b", state, 7);
    assertEquals(wordFromWire(create(wire.LivenessSchema, wordToWire(one))), one);
  }
  const from = (state: number, incarnation: bigint) =>
    wordFromWire(create(wire.LivenessSchema, { id: "b", state, incarnation }));
  assertEquals([from(0, 1n), from(9, 1n), from(1, 2n ** 63n)], [null, null, null]);
});
