import { assertEquals } from "@std/assert";
import { silentLogger } from "../../../runtime/log.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import { graceBegan, horizonMs, Staleness, verdict, wasAwayTooLong } from "../../../server/cluster/stale.ts";
import { DAY, HOUR, START } from "./catalog_kit.ts";

const settings = { tombstoneMs: 30 * DAY, staleGraceMs: 600_000 };
const stale = { stale: true };
const fresh = { stale: false };

Deno.test("the horizon is a whole hour, the same for all servers within one", () => {
  assertEquals(horizonMs(START + 1, DAY), START - DAY);
  assertEquals(horizonMs(START + HOUR - 1, DAY), START - DAY);
  assertEquals(horizonMs(START + HOUR, DAY), START - DAY + HOUR);
});

Deno.test("who was away too long", () => {
  const rows: [hasMembers: boolean, lastContactMs: number | null, expected: boolean][] = [
    [true, START - 30 * DAY - 1, true],
    [true, START - 30 * DAY, false],
    [true, START + DAY, false],
    [true, null, false],
    [false, START - 300 * DAY, false],
    [false, null, false],
  ];
  for (const [hasMembers, lastContactMs, expected] of rows) {
    assertEquals(wasAwayTooLong({ hasMembers, lastContactMs, nowMs: START, tombstoneMs: 30 * DAY }), expected);
  }
});

Deno.test("what a stale server does with a row", () => {
  const rows: [deleted: boolean, wallMs: number, knownThere: boolean, peerStale: boolean, expected: string][] = [
    [false, 99, false, false, "set aside"],
    [false, 99, false, true, "keep"],
    [false, 99, true, false, "keep"],
    [false, 99, true, true, "keep"],
    [true, 99, false, false, "keep"],
    [false, 100, false, false, "offer"],
    [false, 100, true, true, "offer"],
    [true, 100, false, true, "offer"],
  ];
  for (const [deleted, wallMs, knownThere, peerStale, expected] of rows) {
    assertEquals(verdict({ deleted, wallMs, knownThere, peerStale, doubtMs: 100 }), expected);
  }
});

Deno.test("the grace runs while all who are met are stale", () => {
  const rows: [beganMs: number | null, peers: { stale: boolean }[], expected: number | null][] = [
    [null, [], null],
    [5, [], 5],
    [null, [stale], 50],
    [5, [stale, stale], 5],
    [5, [stale, fresh], null],
    [null, [fresh], null],
    [51, [stale], 50],
  ];
  for (const [beganMs, peers, expected] of rows) assertEquals(graceBegan({ beganMs, nowMs: 50, peers }), expected);
});

function start(ledger: MemoryLedger, nowMs: { ms: number }, hasMembers = true): Staleness {
  const setAside = () => Promise.resolve();
  return new Staleness({ ledger, settings, now: () => nowMs.ms, log: silentLogger, setAside }, hasMembers);
}

Deno.test("a stale server stays so over a restart, and its grace goes on", () => {
  const [ledger, time] = [new MemoryLedger(), { ms: START }];
  start(ledger, time, false).contact();
  time.ms += 31 * DAY;
  const first = start(ledger, time);
  first.contact();
  first.tick([stale]);
  time.ms += 400_000;
  const second = start(ledger, time);
  assertEquals(second.stale, true);
  assertEquals(second.mayOffer({ version: { wallMs: START, counter: 0, server: "a" } }), false);
  second.tick([stale]);
  assertEquals(second.stale, true);
  time.ms += 200_000;
  second.tick([stale]);
  assertEquals([second.stale, second.told], [false, true]); // no judge yet
  assertEquals(second.mayOffer({ version: { wallMs: START, counter: 0, server: "a" } }), true);
  time.ms += 600_000;
  assertEquals(second.told, false);
  assertEquals(start(ledger, time).stale, false);
});

Deno.test("a judge ends it at once; one that is none does not", () => {
  const [ledger, time] = [new MemoryLedger(), { ms: START }];
  start(ledger, time, false).contact();
  time.ms += 31 * DAY;
  const server = start(ledger, time);
  server.compared(stale);
  assertEquals(server.stale, true);
  server.compared(fresh);
  assertEquals([server.stale, server.told], [false, false]);
});

Deno.test("the last contact is saved at most once a minute", () => {
  const [ledger, time] = [new MemoryLedger(), { ms: START }];
  let saves = 0;
  const { saveFact } = ledger;
  ledger.saveFact = (...fact) => {
    saves++;
    saveFact.apply(ledger, fact);
  };
  const server = start(ledger, time);
  for (let second = 0; second < 300; second++, time.ms += 1000) server.contact();
  assertEquals(saves, 5);
});
