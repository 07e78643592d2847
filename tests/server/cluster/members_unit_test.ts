/** The list of one server, told things by hand: keys, certificates, admins, and what is refused. */
import { assert, assertEquals } from "@std/assert";
import { clone, create } from "@bufbuild/protobuf";
import { generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { createPublicKey } from "node:crypto";
import { wire } from "../../../proto/mod.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { HybridClock } from "../../../proto/clock.ts";
import { Health } from "../../../server/cluster/health.ts";
import { Members } from "../../../server/cluster/members.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import type { Keys, Ledger } from "../../../server/cluster/ports.ts";
import { recordBytes } from "../../../proto/record_signature.ts";
import { MAX_SERVERS } from "../../../server/cluster/records.ts";
import type { VerifyCertificate } from "../../../server/cluster/referee.ts";
import { fakeKeys } from "../../sim/keys.ts";

interface Made {
  members: Members;
  ledger: Ledger;
  marks: string[];
  keys: Keys;
  admin: string[];
  changes: number;
}

let nowMs = 1_700_000_000_000;

function server(
  id: string,
  { keys = fakeKeys(id), ledger = new MemoryLedger(), url = `http://${id}.example:4000`, verifyCertificate }: {
    keys?: Keys;
    ledger?: Ledger;
    url?: string;
    verifyCertificate?: VerifyCertificate;
  } = {},
): Made {
  const members = new Members({
    self: { id, provider: "aws", region: "us-east-1", role: "origin", labels: { rack: "1" }, software: "0.1.0" },
    ledger,
    clock: new HybridClock(id),
    now: () => nowMs,
    log: silentLogger,
    keys,
    ...(verifyCertificate && { verifyCertificate }),
  });
  const made: Made = { members, ledger, marks: [], keys, admin: [], changes: 0 };
  members.onMark = (from, reason) => made.marks.push(`${from}: ${reason}`);
  members.onAdmin = (of) => made.admin.push(of);
  members.onChange = () => made.changes++;
  if (url) members.announce(url);
  nowMs += 1000;
  return made;
}

/** A record of somebody, changed and signed anew. */
function forged(record: wire.Server, change: Partial<wire.Server>, keys: Keys): wire.Server {
  const copy = Object.assign(clone(wire.ServerSchema, record), change);
  copy.signature = keys.sign(recordBytes(copy));
  return copy;
}

/** The same record, written a second later. */
function later(record: wire.Server, ms = 1000): wire.Version {
  const { wallMs, counter, server } = record.updated!;
  return create(wire.VersionSchema, { wallMs: wallMs + BigInt(ms), counter, server });
}

/** One tells another all it has. */
function tell(from: Made, to: Made) {
  return to.members.learn(from.members.list().servers, from.members.self.id);
}

/** Real Ed25519 (RFC 8032). */
function realKeys(): Keys {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const prefix = publicKey.export({ type: "spki", format: "der" }).subarray(0, 12);
  const raw = new Uint8Array(publicKey.export({ type: "spki", format: "der" }).subarray(12));
  const keyOf = (bytes: Uint8Array): KeyObject =>
    createPublicKey({ key: Buffer.concat([prefix, bytes]), format: "der", type: "spki" });
  return {
    publicKey: raw,
    certificate: new Uint8Array(),
    sign: (bytes) => new Uint8Array(sign(null, bytes, privateKey)),
    verify: (key, bytes, signature) => verify(null, bytes, keyOf(key), signature),
  };
}

Deno.test("a list is learned and told on, and outlives the process, with real signatures", () => {
  const a = server("a", { keys: realKeys() });
  const b = server("b", { keys: realKeys() });
  const c = server("c", { keys: realKeys() });
  assertEquals(tell(a, b), []);
  assertEquals(tell(b, c), []);
  assertEquals(c.members.others().map(({ id, url }) => `${id} ${url}`), [
    "a http://a.example:4000",
    "b http://b.example:4000",
  ]);
  assertEquals([c.members.keyOf("a"), c.changes], [a.keys.publicKey, 1]);
  const again = server("c", { keys: c.keys, ledger: c.ledger });
  assertEquals(again.members.others().map(({ id }) => id), ["a", "b"]);
  assertEquals(again.members.keyOf("a"), a.keys.publicKey);
  assertEquals(tell(again, a), []);
  assertEquals(a.members.others().map(({ id }) => id), ["b", "c"]);
});

Deno.test("a record that was changed on the way is refused, and who told it is marked", () => {
  const [a, b, c] = [server("a"), server("b"), server("c")];
  const record = clone(wire.ServerSchema, a.members.self);
  record.url = "http://evil.example:1";
  const [refusal] = b.members.learn([record], "c");
  assertEquals([refusal!.reason, refusal!.fault], ["is not signed with its key", true]);
  assertEquals([b.members.get("a"), b.members.keyOf("a")], [null, null]);
  assertEquals(b.marks, ["c: the record of a is not signed with its key"]);
  assertEquals(tell(a, b), []);
  assertEquals(tell(c, b), []);
});

Deno.test("the first key that is heard of a server counts: another one does not take its place", () => {
  const [a, b] = [server("a"), server("b")];
  tell(a, b);
  const thief = fakeKeys("thief");
  const stolen = forged(a.members.self, {
    publicKey: thief.publicKey,
    url: "http://evil.example:1",
    updated: later(a.members.self),
  }, thief);
  assertEquals(b.members.learn([stolen], "c")[0]?.reason, "has another key than before");
  assertEquals(b.members.get("a")?.url, "http://a.example:4000");
  assertEquals(b.marks.length, 1);
  // Nor over a restart.
  const again = server("b", { ledger: b.ledger });
  assertEquals(again.members.learn([stolen], "c")[0]?.reason, "has another key than before");
});

Deno.test("a key may be introduced before the record has come, and is pinned then", () => {
  const [a, b] = [server("a"), server("b")];
  const none = new Uint8Array();
  assertEquals(b.members.introduce("a", a.keys.publicKey, none), true);
  assertEquals(b.members.introduce("a", a.keys.publicKey, none), true);
  assertEquals(b.members.introduce("a", fakeKeys("thief").publicKey, none), false);
  assertEquals(b.members.introduce("a", new Uint8Array(31), none), false);
  assertEquals(b.members.introduce("b", fakeKeys("thief").publicKey, none), false);
  assertEquals(b.members.introduce("b", b.keys.publicKey, none), true);
  assertEquals(b.members.keyOf("a"), a.keys.publicKey);
  assertEquals(server("b", { ledger: b.ledger }).members.keyOf("a"), a.keys.publicKey);
  assertEquals(tell(a, b), []);
  let taken = 0;
  for (let at = 0; at < 2000; at++) if (b.members.introduce(`x${at}`, fakeKeys(`x${at}`).publicKey, none)) taken++;
  assertEquals(taken, 1000);
});

Deno.test("an admin takes a server off, drains it, and lets it in again; only the one who was told can say so", () => {
  const [a, b, c] = [server("a"), server("b"), server("c")];
  tell(a, b);
  tell(c, b);
  tell(b, c);
  assertEquals([b.members.drain("a", true), b.members.isDraining("a"), b.members.get("a")?.draining], [
    true,
    true,
    true,
  ]);
  assertEquals([b.members.drain("nobody", true), b.members.remove("nobody"), b.members.remove("b")], [
    false,
    false,
    false,
  ]);
  assertEquals(tell(b, c), []);
  assertEquals(c.members.isDraining("a"), true);
  assertEquals(b.members.remove("a"), true);
  tell(b, c);
  assertEquals([c.members.isRemoved("a"), c.members.get("a"), c.admin], [true, null, ["a"]]);
  assertEquals(c.members.keyOf("a"), a.keys.publicKey); // what it wrote stays verifiable

  const removal = b.members.records().find(({ removed }) => removed)!;
  const lie = forged(removal, { removed: false, updated: later(removal) }, c.keys);
  assertEquals(c.members.learn([lie], "c")[0]?.reason, "is not signed with the key of b");
  const stranger = forged(removal, {
    updated: create(wire.VersionSchema, { ...later(removal), server: "nobody" }),
  }, fakeKeys("nobody"));
  const [refusal] = c.members.learn([stranger], "c");
  assertEquals([refusal?.reason, refusal?.fault], ["is by nobody, whose key is not known", false]);
  assertEquals(c.members.isRemoved("a"), true);

  assertEquals(c.members.add(a.members.self, "http://a.example:4000"), null);
  tell(c, b);
  assertEquals([b.members.get("a")?.id, b.admin, b.members.isDraining("a")], ["a", ["a", "a"], true]);
});

Deno.test("a server that is told to drain itself does, and stops, over a restart too", () => {
  const [a, b] = [server("a"), server("b")];
  assertEquals(a.members.drain("a", true), true);
  assertEquals([a.members.isDraining("a"), a.members.self.draining], [true, false]);
  tell(a, b);
  assertEquals(b.members.isDraining("a"), true);
  const again = server("a", { ledger: a.ledger });
  tell(again, b);
  assertEquals([again.members.isDraining("a"), b.members.isDraining("a")], [true, true]);
  again.members.drain("a", false);
  tell(again, b);
  assertEquals([b.members.isDraining("a"), b.members.get("a")?.id], [false, "a"]);
  assertEquals(b.members.keyOf("a"), a.keys.publicKey);
});

Deno.test("a removed server may come back with a new key where an admin adds it, here and elsewhere", () => {
  const [a, b, c] = [server("a"), server("b"), server("c")];
  for (const [from, to] of [[a, b], [b, c], [c, b]] as const) tell(from, to);
  b.members.remove("a");
  tell(b, c);
  const fresh = server("a", { keys: fakeKeys("a on a new disk") });
  assertEquals(tell(fresh, c)[0]?.reason, "has another key than before");
  assertEquals(b.members.add(fresh.members.self, "http://a.example:4000"), null);
  assertEquals(tell(b, c), []);
  for (const one of [b, c]) {
    assertEquals(one.members.get("a")?.publicKey, fresh.keys.publicKey);
    assertEquals(one.members.keysOf("a"), [fresh.keys.publicKey, a.keys.publicKey]);
  }
  assertEquals(c.marks.length, 1); // only for the first try
  // One that is on the list keeps its key, whoever adds it.
  const thief = server("a", { keys: fakeKeys("thief") });
  assertEquals(b.members.add(thief.members.self, "http://a.example:4000"), "has another key than before");
});

Deno.test("a record with an unsafe URL is refused, by name or by number", () => {
  const b = server("b");
  for (
    const [url, why] of [
      ["http://127.0.0.1:4000", "loopback"],
      ["http://0x7f000001:4000", "loopback"],
      ["http://169.254.169.254", "metadata"],
      ["http://b.example:4000", "this server's own"],
    ] as const
  ) {
    const [refusal] = tell(server("a", { url }), b);
    assert(refusal!.reason.includes(why), refusal!.reason);
  }
  assertEquals([b.members.others(), b.marks.length], [[], 4]);
  const local = server("c", { url: "http://127.0.0.1:5000" });
  assertEquals(tell(server("a", { url: "http://127.0.0.1:4000" }), local), []);
});

Deno.test("who took a removed server's place, at its URL, takes the removal and the keys, and asks nobody there", () => {
  const [a, b] = [server("a"), server("b")];
  tell(a, b);
  const heir = server("heir", { url: "http://a.example:4000" });
  const tellHeir = () => {
    const refused = tell(b, heir);
    heir.members.noteKeys(b.members.list().keys);
    return refused.map(({ reason }) => reason);
  };
  assertEquals(tellHeir(), ["has the URL http://a.example:4000, which is this server's own"]);
  assertEquals(heir.members.keysOf("a"), []);
  b.members.remove("a");
  assertEquals(tellHeir(), []);
  assertEquals(heir.members.isRemoved("a"), true);
  assertEquals(heir.members.keysOf("a"), [a.keys.publicKey]);
  assertEquals(heir.members.others().map(({ id }) => id), ["b"]);
  // Let in again at that URL, it would be asked: that word is not taken.
  assertEquals(b.members.add(a.members.self, "http://a.example:4000"), null);
  assert(tellHeir().every((reason) => reason.includes("this server's own")));
  assertEquals(heir.members.others().map(({ id }) => id), ["b"]);
});

Deno.test("with TLS a certificate binds key and id, and a newer one may bring a new key", () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  /** "id key-name from until" stands for a certificate. */
  const verifyCertificate: VerifyCertificate = (der, atMs) => {
    const [id, name, from, until] = new TextDecoder().decode(der).split(" ");
    if (atMs < Number(from) || atMs > Number(until)) throw new Error("expired");
    return { id: id!, publicKey: fakeKeys(name!).publicKey, notBeforeMs: Number(from) };
  };
  const begin = nowMs;
  const made = (id: string, keys: string, certificate: string) =>
    server(id, { keys: fakeKeys(keys, encode(certificate)), verifyCertificate });
  const b = made("b", "b", `b b ${begin} ${begin + 1e6}`);
  const a = made("a", "old", `a old ${begin} ${begin + 1e6}`);
  const other = made("z", "old", `a old ${begin} ${begin + 1e6}`);
  assertEquals(tell(other, b)[0]?.reason, "has a certificate for another id, or another key");
  assertEquals(
    tell(made("a", "x", `a old ${begin} ${begin + 1e6}`), b)[0]?.reason,
    other && "has a certificate for another id, or another key",
  );
  assertEquals(tell(made("a", "x", ""), b)[0]?.reason, "has no valid certificate");
  assertEquals(tell(a, b), []);
  const renewed = made("a", "new", `a new ${begin + 10} ${begin + 2e6}`);
  assertEquals(tell(renewed, b), []);
  assertEquals(b.members.keysOf("a"), [fakeKeys("new").publicKey, fakeKeys("old").publicKey]);
  // The old certificate is still valid, but it is not the newest.
  assertEquals(tell(made("a", "old", `a old ${begin} ${begin + 1e6}`), b)[0]?.reason, "has another key than before");
  assertEquals(b.members.introduce("a", fakeKeys("old").publicKey, a.keys.certificate), false);
  assertEquals(b.members.introduce("a", fakeKeys("new").publicKey, renewed.keys.certificate), true);
  assertEquals(b.members.introduce("z", fakeKeys("new").publicKey, renewed.keys.certificate), false);

  // A newcomer hears of the old key too: what was signed with it stays right.
  const newcomer = made("n", "n", `n n ${begin} ${begin + 1e6}`);
  const { servers, keys } = b.members.list();
  newcomer.members.noteKeys(keys); // of a server that is not on the list: passed over
  assertEquals(newcomer.members.keysOf("a"), []);
  newcomer.members.learn(servers, "b");
  newcomer.members.noteKeys(keys);
  assertEquals(newcomer.members.keysOf("a"), [fakeKeys("new").publicKey, fakeKeys("old").publicKey]);

  // Who is long gone had a certificate when it wrote: a newcomer can still check what it says.
  const before = nowMs;
  nowMs = begin + 3e6;
  const late = made("late", "late", `late late ${nowMs} ${nowMs + 1e6}`);
  assertEquals(late.members.learn(b.members.records().filter(({ id }) => id === "a"), "late"), []);
  assertEquals(late.members.introduce("c", fakeKeys("c").publicKey, encode(`c c ${begin} ${begin + 1e6}`)), false);
  nowMs = before;
});

Deno.test("our own words are never taken from others: where ours are newer elsewhere, we write anew", () => {
  const a = server("a");
  const b = server("b");
  const ahead = forged(a.members.self, { url: "http://old.example:1", updated: later(a.members.self, 60_000) }, a.keys);
  assertEquals(b.members.learn([ahead], "c"), []);
  assertEquals(tell(b, a), []);
  assertEquals(a.members.self.url, "http://a.example:4000");
  tell(a, b);
  assertEquals(b.members.get("a")?.url, "http://a.example:4000");
  const twin = server("a", { keys: fakeKeys("twin") });
  assertEquals(tell(twin, a)[0]?.reason, "is of another server with this one's id");
});

Deno.test("a list has an end, and a record from a clock that is too far ahead is passed over", () => {
  const b = server("b");
  const keys = fakeKeys("many");
  const [template] = server("a").members.records();
  const many = Array.from({ length: 1000 }, (_, at) =>
    forged(template!, {
      id: `s${at}`,
      publicKey: keys.publicKey,
      url: `http://s${at}.example:1`,
      updated: create(wire.VersionSchema, { wallMs: BigInt(nowMs), counter: 0, server: `s${at}` }),
    }, keys));
  const refused = b.members.learn(many, "c");
  assertEquals(b.members.others().length, MAX_SERVERS - 1);
  assertEquals(refused.length, 1000 - MAX_SERVERS + 1);
  assertEquals(refused[0]!.reason, "has no room: the list is full");
  assertEquals(b.marks, []);
  const ahead = forged(template!, { updated: later(template!, 3e11) }, fakeKeys("a"));
  const fresh = server("c");
  assertEquals(fresh.members.learn([ahead], "x")[0]?.reason, "is from a clock that is too far ahead");
  assertEquals([fresh.members.others(), fresh.marks], [[], []]);
});

Deno.test("what was kept before records were signed: removals count, the rest comes anew", () => {
  const ledger = new MemoryLedger();
  const unsigned = (id: string, removed: boolean) =>
    create(wire.ServerSchema, {
      id,
      url: `http://${id}.example:1`,
      removed,
      updated: { wallMs: BigInt(nowMs), counter: 0, server: removed ? "c" : id },
    });
  ledger.saveRecord(unsigned("gone", true));
  ledger.saveRecord(unsigned("there", false));
  const a = server("a", { ledger });
  assertEquals([a.members.isRemoved("gone"), a.members.get("there")], [true, null]);
  const b = server("b");
  assertEquals(tell(a, b), []);
  assertEquals(b.members.isRemoved("gone"), true);
});

Deno.test("marks are listed latest first, the same counted, and no more than ten", () => {
  let now = 1;
  const health = new Health(() => now++);
  for (let at = 0; at < 12; at++) health.mark("b", `reason ${at}`);
  health.mark("b", "reason 5");
  const life = { state: "suspect", incarnation: 3, heardMs: 7, error: "no answer" } as const;
  const { marks, state, incarnation, error } = health.report("b", life);
  assertEquals(marks.length, 10);
  assertEquals(marks.slice(0, 2).map(({ reason, count }) => `${reason} ${count}`), ["reason 5 2", "reason 11 1"]);
  assertEquals(marks[0]!.atMs, 13n);
  assertEquals([state, incarnation, error], ["suspect", 3n, "no answer"]);
  health.forget("b");
  assertEquals(health.report("b", life).marks, []);
});

Deno.test("a server lags by what it says itself or by what it has not confirmed, whichever is more", () => {
  let now = 1000;
  const health = new Health(() => now);
  const life = { state: "alive", incarnation: 1, heardMs: 900, error: "" } as const;
  assertEquals(health.report("b", life, { lag: 4 }).lagObjects, 4n);
  const content = create(wire.ContentSummarySchema, { objects: 9n, wantedObjects: 6n, wantedBytes: 600n });
  health.told("b", content);
  const report = health.report("b", life, { lag: 4, rttMs: 12.5, bytesPerSecond: 1e6 });
  assertEquals([report.lagObjects, report.lagBytes, report.content?.objects], [6n, 600n, 9n]);
  assertEquals([report.rttMs, report.bytesPerSecond, report.lastHeardMs], [12.5, 1e6, 900n]);
  assertEquals(health.report("b", life, { lag: 8 }).lagObjects, 8n);
  health.refused("b", "no room");
  health.faulty("b", "00", "sent another body");
  assertEquals(health.report("b", life).error, "no room; sent another body");
  now += 3_600_000;
  assertEquals(health.report("b", life).error, "no room");
});
