/** The simulated world itself: order, crashes, and what must not be reached from within. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DiskStore } from "./disk_store.ts";
import { Life, MachineClock } from "./life.ts";
import { planOf } from "./plan.ts";
import { Platter } from "./platter.ts";
import { stream } from "./prng.ts";
import { onlyVirtual, SimulationError, World } from "./world.ts";

Deno.test("events run by time, then in the order in which they were put in; each one's consequences before the next", async () => {
  const world = new World();
  const seen: string[] = [];
  const see = (what: string) => async () => {
    seen.push(what);
    for (let hop = 0; hop < 5; hop++) await null;
    seen.push(`${what} at its end`);
  };
  world.after(20, see("third"));
  world.after(10, see("first"));
  world.after(10, see("second"));
  world.after(5, see("never"))();
  await world.run(30);
  assertEquals(seen, ["first", "second", "third"].flatMap((what) => [what, `${what} at its end`]));
  assertEquals(world.nowMs, 30);
});

Deno.test("who waits for nothing is found out, and so is a world without rest", async () => {
  const world = new World({ events: 100, virtualMs: 1_000_000 });
  await assertRejects(() => world.until("the end", new Promise(() => {}), 1_000), SimulationError, "Stuck: the end");
  const again = () => {
    world.after(1, again);
  };
  again();
  await assertRejects(() => world.run(1_000), SimulationError, "No rest after 100 events");
});

Deno.test("what reaches for the real world fails the story", async () => {
  const world = new World();
  const giveBack = onlyVirtual((error) => world.fail(error));
  try {
    assertThrows(() => Date.now(), SimulationError, "now is of the real world");
    await assertRejects(() => world.run(1), SimulationError, "now is of the real world");
  } finally {
    giveBack();
  }
  assert(Date.now() > 0);
});

Deno.test("a crash between the steps of a write leaves the disk as it was then, and the writer waits for ever", async () => {
  for (const steps of [1, 2, 3]) {
    const world = new World();
    const life = new Life(world, new MachineClock(world));
    const platter = new Platter({}, () => world.nowMs);
    platter.crashIn = steps;
    platter.onCrash = () => life.end();
    let settled = false;
    const store = new DiskStore(platter, life, stream(1, "disk"));
    const body = (async function* () {
      yield new TextEncoder().encode("bytes");
    })();
    store.stage(body).finally(() => settled = true);
    await world.run(10_000);
    assertEquals([life.alive, settled], [false, false]);
    assertEquals(platter.bodies.size, steps < 3 ? 0 : 1, `after step ${steps}`);
  }
});

Deno.test("a disk that lies forgets at a crash what it had confirmed within the last seconds", () => {
  let nowMs = 0;
  const platter = new Platter({ lies: true }, () => nowMs);
  platter.change(platter.facts, "old", "kept");
  nowMs = 6_000;
  platter.change(platter.facts, "old", "changed");
  platter.change(platter.facts, "new", "gone");
  platter.crash(stream(1, "crash"));
  assertEquals([...platter.facts], [["old", "kept"]]);
});

Deno.test("a story never has more losers at once than its copies can bear", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const { minCopies, rounds, machines } = planOf(seed);
    let left = machines.length;
    for (const { losers, acts } of rounds) {
      const lose = acts.filter((act) =>
        ["wipe", "index", "rot", "gone"].includes(act.do) ||
        (act.do === "clock" && !(act.skewMs >= 0 && act.skewMs <= 240_000))
      );
      assert(losers.length <= minCopies - 1, `seed ${seed}`);
      assert(lose.every((act) => "at" in act && losers.includes(act.at)), `seed ${seed}`);
      left -= acts.filter((act) => act.do === "gone").length;
      assert(left >= minCopies, `seed ${seed}`);
    }
  }
});
