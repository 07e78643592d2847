import { assert, assertEquals } from "@std/assert";
import { matches, matchesWeakly } from "../../runtime/entity_tags.ts";

Deno.test("lists of entity tags: strongly and weakly compared, with any space around the commas", () => {
  const table: [field: string | null, strong: boolean, weak: boolean][] = [
    ['"a"', true, true],
    ['W/"a"', false, true],
    ['"b" \t ,   "a"', true, true],
    ['"b",W/"a"', false, true],
    [" * ", true, true],
    ['"b"', false, false],
    ['"a', false, false],
    ["", false, false],
    [null, false, false],
  ];
  for (const [field, strong, weak] of table) {
    assertEquals([matches(field, '"a"'), matchesWeakly(field, '"a"')], [strong, weak], String(field));
  }
  assertEquals(matches("*", undefined), false);
  assertEquals(matchesWeakly("*", undefined), false);
});

Deno.test("a long run of spaces in a list costs no more than its length", () => {
  // 16 million: at a step for each it is done at once; at its square the test would not end.
  for (const space of [" ", "\t", "\u00a0"]) {
    const field = `"b"${space.repeat(1 << 24)}"a"`;
    assert(!matches(field, '"a"'));
    assert(!matchesWeakly(field, '"a"'));
  }
});
