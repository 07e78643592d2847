import { assertEquals } from "@std/assert";
import { Holders } from "../../../server/cluster/holders.ts";
import { Trust } from "../../../server/cluster/trust.ts";
import { manifestOf, pattern, versionOf } from "../../suite/store_suite.ts";

const [first, second] = [versionOf(1), versionOf(2)].map((version) => manifestOf("/x", version, pattern(3)));

Deno.test("the newest version that a server was heard to hold counts, and only that", () => {
  const holders = new Holders();
  holders.note("b", second!);
  holders.note("b", first!);
  assertEquals([holders.has("b", first!), holders.has("b", second!), holders.has("c", second!)], [false, true, false]);
  holders.drop("b", second!);
  assertEquals(holders.has("b", second!), false);
});

Deno.test("what a server took after it was asked is neither held against it nor forgotten", () => {
  const holders = new Holders();
  const trust = new Trust({ keys: { verify: () => true }, keysOf: () => [], holders });
  holders.note("b", first!);
  const { asOf } = holders;
  holders.note("b", second!);
  assertEquals(trust.rollback("b", second!, true, asOf), null);
  holders.drop("b", second!, asOf);
  assertEquals(holders.has("b", second!), true);
  // Said again, it still was first said then.
  const later = holders.asOf;
  holders.note("b", second!);
  assertEquals(
    trust.rollback("b", second!, true, later),
    "went back: shows an older version of /x than the one that it held",
  );
  holders.drop("b", second!, later);
  assertEquals(holders.has("b", second!), false);
});
