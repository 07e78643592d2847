import { assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { wire } from "../../../proto/mod.ts";
import { kindOf, MAX_SERVERS, recordFault, Records } from "../../../server/cluster/records.ts";

const key = new Uint8Array(32).fill(7);
const signature = new Uint8Array(64).fill(9);

/** What a server says of itself. */
function own(id: string, wallMs: number, url = `http://127.0.0.1:${wallMs + 1000}`) {
  const updated = { wallMs: BigInt(wallMs), counter: 0, server: id };
  return create(wire.ServerSchema, { id, url, updated, publicKey: key, signature });
}

/** What an admin said of it to the server `by`. */
function admin(id: string, wallMs: number, by: string, word: { removed?: boolean; draining?: boolean } = {}) {
  const updated = { wallMs: BigInt(wallMs), counter: 0, server: by };
  return create(wire.ServerSchema, { id, url: "http://127.0.0.1:1", updated, signature, ...word });
}

Deno.test("a server's own newer words replace its older ones, and older ones change nothing", () => {
  const records = new Records();
  assertEquals(records.merge(own("b", 2)), true);
  assertEquals(records.merge(own("b", 1)), false);
  assertEquals(records.merge(own("b", 2)), false);
  assertEquals(records.merge(own("b", 3)), true);
  assertEquals(records.view("b")?.url, "http://127.0.0.1:1003");
});

Deno.test("a removed server does not come back by announcing itself, but by an admin", () => {
  const records = new Records();
  records.merge(own("b", 1));
  records.merge(admin("b", 2, "a", { removed: true }));
  records.merge(own("b", 50));
  assertEquals(records.view("b")?.removed, true);
  records.merge(admin("b", 3, "c"));
  assertEquals(records.view("b")?.removed, false);
  assertEquals(records.view("b")?.url, "http://127.0.0.1:1050");
});

Deno.test("an old removal that is heard late does not undo a later return", () => {
  const records = new Records();
  records.merge(admin("b", 3, "a"));
  records.merge(admin("b", 2, "a", { removed: true }));
  assertEquals(records.view("b")?.removed, false);
});

Deno.test("a draining server stays so when it announces itself anew, also where it was told so itself", () => {
  const records = new Records();
  records.merge(own("b", 1));
  records.merge(admin("b", 2, "b", { draining: true }));
  records.merge(own("b", 50));
  assertEquals([records.view("b")?.draining, records.view("b")?.url], [true, "http://127.0.0.1:1050"]);
  assertEquals(records.get("b", "own")?.draining, false);
  records.merge(admin("b", 51, "b"));
  assertEquals(records.view("b")?.draining, false);
});

Deno.test("the order in which records are heard does not matter", () => {
  const any = fc.record({
    id: fc.constantFrom("a", "b"),
    wallMs: fc.integer({ min: 0, max: 5 }),
    by: fc.constantFrom("a", "b", "c"),
    kind: fc.constantFrom("own", "removed", "draining", "free"),
  }).map(({ id, wallMs, by, kind }) =>
    kind === "own" ? own(id, wallMs) : admin(id, wallMs, by, { [kind]: true } as { removed?: boolean })
  );
  const view = (list: wire.Server[]) => {
    const records = new Records();
    for (const one of list) records.merge(one);
    return ["a", "b"].map((id) => {
      const seen = records.view(id);
      return seen && `${seen.url} ${seen.removed} ${seen.draining} ${seen.updated?.wallMs} ${seen.updated?.server}`;
    });
  };
  fc.assert(fc.property(fc.array(any, { maxLength: 8 }), fc.infiniteStream(fc.nat()), (drawn, keys) => {
    // One stamp is one write: of two records with the same stamp, keep one.
    const list = [
      ...new Map(drawn.map((one) => [`${one.id} ${one.updated?.wallMs} ${one.updated?.server}`, one])).values(),
    ];
    const shuffled = list.map((one) => [keys.next().value!, one] as const).sort((a, b) => a[0] - b[0]).map(([, one]) =>
      one
    );
    assertEquals(view([...shuffled, ...shuffled]), view(list));
  }));
});

Deno.test("what carries a key is the server's own, whoever is told the rest", () => {
  assertEquals(kindOf(own("b", 1)), "own");
  assertEquals(kindOf(admin("b", 1, "b", { removed: true })), "admin");
  assertEquals(kindOf(admin("b", 1, "b")), "admin");
  assertEquals(kindOf(admin("b", 1, "a")), "admin");
});

Deno.test("a record that contradicts itself is at fault", () => {
  const with_ = (record: wire.Server, change: Partial<wire.Server>) => recordFault(Object.assign(record, change));
  assertEquals(recordFault(own("b", 1)), null);
  assertEquals(recordFault(admin("b", 1, "a", { removed: true })), null);
  assertEquals(with_(own("b", 1), { signature: new Uint8Array() }), "is not signed");
  assertEquals(with_(own("b", 1), { publicKey: new Uint8Array(31) }), "has a malformed key");
  assertEquals(with_(own("b", 1), { certificate: new Uint8Array(1e5) }), "has a certificate that is too long");
  assertEquals(with_(own("b", 1), { certificate: new Uint8Array(8193) }), "has a certificate that is too long");
  assertEquals(with_(own("b", 1), { certificate: new Uint8Array(8192) }), null);
  assertEquals(with_(own("b", 1), { id: "c" }), "speaks for another server");
  assertEquals(with_(own("b", 1), { draining: true }), "says of itself what only admins say");
  assertEquals(with_(own("b", 1), { removed: true }), "says of itself what only admins say");
  assertEquals(with_(admin("b", 1, "a"), { certificate: key }), "has a certificate, but no key");
});

Deno.test("the list has an end", () => {
  const records = new Records();
  for (let at = 0; at < MAX_SERVERS; at++) assertEquals(records.merge(own(`s${at}`, 1)), true);
  assertEquals(records.merge(own("one-more", 1)), false);
  assertEquals(records.merge(own("s0", 2)), true);
});
