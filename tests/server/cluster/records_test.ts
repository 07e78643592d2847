import { assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { wire } from "../../../proto/mod.ts";
import { kindOf, MAX_SERVERS, Records } from "../../../server/cluster/records.ts";

function record(id: string, wallMs: number, by: string, removed = false, url = `http://127.0.0.1:${wallMs + 1000}`) {
  return create(wire.ServerSchema, {
    id,
    url,
    removed,
    updated: { wallMs: BigInt(wallMs), counter: 0, server: by },
  });
}

Deno.test("a server's own newer words replace its older ones, and older ones change nothing", () => {
  const records = new Records();
  assertEquals(records.merge(record("b", 2, "b")), true);
  assertEquals(records.merge(record("b", 1, "b")), false);
  assertEquals(records.merge(record("b", 2, "b")), false);
  assertEquals(records.merge(record("b", 3, "b")), true);
  assertEquals(records.view("b")?.url, "http://127.0.0.1:1003");
});

Deno.test("a removed server does not come back by announcing itself, but by an admin", () => {
  const records = new Records();
  records.merge(record("b", 1, "b"));
  records.merge(record("b", 2, "a", true));
  records.merge(record("b", 50, "b"));
  assertEquals(records.view("b")?.removed, true);
  records.merge(record("b", 3, "c"));
  assertEquals(records.view("b")?.removed, false);
  assertEquals(records.view("b")?.url, "http://127.0.0.1:1050");
});

Deno.test("an old removal that is heard late does not undo a later return", () => {
  const records = new Records();
  records.merge(record("b", 3, "a"));
  records.merge(record("b", 2, "a", true));
  assertEquals(records.view("b")?.removed, false);
});

Deno.test("the order in which records are heard does not matter", () => {
  const any = fc.record({
    id: fc.constantFrom("a", "b"),
    wallMs: fc.integer({ min: 0, max: 5 }),
    by: fc.constantFrom("a", "b", "c"),
    removed: fc.boolean(),
  }).map(({ id, wallMs, by, removed }) => record(id, wallMs, by, removed));
  const view = (list: wire.Server[]) => {
    const records = new Records();
    for (const one of list) records.merge(one);
    return ["a", "b"].map((id) => {
      const seen = records.view(id);
      return seen && `${seen.url} ${seen.removed} ${seen.updated?.wallMs} ${seen.updated?.server}`;
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

Deno.test("a removal counts as the admins' word even under the server's own name", () => {
  assertEquals(kindOf(record("b", 1, "b")), "own");
  assertEquals(kindOf(record("b", 1, "b", true)), "admin");
  assertEquals(kindOf(record("b", 1, "a")), "admin");
});

Deno.test("the list has an end", () => {
  const records = new Records();
  for (let at = 0; at < MAX_SERVERS; at++) assertEquals(records.merge(record(`s${at}`, 1, `s${at}`)), true);
  assertEquals(records.merge(record("one-more", 1, "one-more")), false);
  assertEquals(records.merge(record("s0", 2, "s0")), true);
});
