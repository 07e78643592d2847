import { assertEquals } from "@std/assert";
import { RecentPurges } from "../../../server/edge/recent_purges.ts";

Deno.test("what came lately is remembered within bounds; beyond them anything may have been meant", () => {
  const recent = new RecentPurges();
  for (let at = 0; at < 1500; at++) recent.note({ keys: [`/${at}`], prefixes: [], tags: [] });
  assertEquals([recent.mark, recent.since(1500, "/x", []), recent.since(499, "/x", [])], [1500, null, "hard"]);
  assertEquals([recent.since(500, "/x", []), recent.since(500, "/500", [])], [null, "hard"]);
  recent.note({ keys: Array.from({ length: 300_000 }, (_, at) => `/${at}`), prefixes: [], tags: [] });
  assertEquals([recent.since(1500, "/299999", []), recent.since(1500, "/x", [])], ["hard", null]);
  assertEquals(recent.since(1499, "/x", []), "hard", "what was before is forgotten");
});
