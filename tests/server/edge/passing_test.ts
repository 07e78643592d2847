/** What goes to the origin as it came, what comes back for one viewer alone, and what that does to what is stored. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { splitTarget } from "../../../proto/mod.ts";
import { answerFromEdge } from "../../../server/edge/door.ts";
import { asking, asText, got, ManualBody, objectOrigin, pattern, world } from "./kit.ts";

const FRESH: [string, string] = ["cache-control", "max-age=60"];
const ETAG: [string, string] = ["etag", '"1"'];

Deno.test("a write goes with all its conditions: none of them may get lost on the way", async () => {
  await using here = world(() => ({ status: 412 }));
  const conditions: [string, string][] = [
    ["if-match", '"1"'],
    ["if-none-match", "*"],
    ["if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"],
    ["if-unmodified-since", "Thu, 01 Jan 2026 00:00:00 GMT"],
    ["range", "bytes=0-1"],
  ];
  await got(await here.edge.answer(asking("/a", { method: "PUT", fields: conditions })));
  for (const [name, value] of conditions) assertEquals(here.origins.field(1, name), value);
});

Deno.test("a body of which only a part may be put together with others: If-Range holds for what is passed on too", async () => {
  const content = pattern(100_000);
  const object = objectOrigin({ content, etag: '"2"', fields: [["cache-control", "no-store"]] });
  await using here = world(object);
  const range: [string, string] = ["range", "bytes=10-19"];
  const other = await here.get("/a", [range, ["if-range", '"1"']]);
  assertEquals([other.status, other.text.length, other.text === asText(content)], [200, 100_000, true]);
  const same = await here.get("/a", [range, ["if-range", '"2"']]);
  assertEquals([same.status, same.text], [206, asText(content.subarray(10, 20))]);
});

Deno.test("several ranges of what cannot be stored: the origin judges all of them, not only the first", async () => {
  const content = pattern(1000);
  const object = objectOrigin({ content, etag: '"1"', fields: [["cache-control", "no-store"]] });
  await using here = world(object);
  const answer = await here.get("/a", [["range", "bytes=70000-70001, 0-1"]]);
  assertEquals([answer.status, answer.text], [200, asText(content)], "this origin answers several by the whole");
  assertEquals((await here.get("/a", [["range", "bytes=70000-70001"]])).status, 416);
});

Deno.test("one viewer's credentials, wish or range do not make others queue no more", async () => {
  for (const field of [["authorization", "x"], ["cache-control", "no-store"], ["range", "bytes=9999999-"]]) {
    const content = pattern(1000);
    await using here = world(objectOrigin({ content, etag: '"1"' }));
    await here.get("/a", [field as [string, string]]);
    const before = here.origins.requests.length;
    await Promise.all(Array.from({ length: 10 }, () => here.get("/a")));
    assertEquals(here.origins.requests.length - before, 1, field.join());
  }
});

Deno.test("a refusal of one viewer's request takes nothing from the others", async () => {
  await using here = world(({ fields }) =>
    fields.some(([name]) => name === "x-odd") ? { status: 400, body: "odd" } : { fields: [FRESH, ETAG], body: "good" }
  );
  await here.get("/a");
  assertEquals((await here.get("/a", [["cache-control", "no-cache"], ["x-odd", "1"]])).status, 400);
  assertEquals((await here.get("/a")).headers.get("cache-status"), "edge;hit;ttl=60");
});

Deno.test("what is gone at the origin is gone here", async () => {
  await using here = world((_, number) =>
    number === 1 ? { fields: [FRESH, ETAG], body: "good" } : { status: 404, fields: [["cache-control", "no-store"]] }
  );
  await here.get("/a");
  assertEquals((await here.get("/a", [["cache-control", "no-cache"]])).status, 404);
  assertEquals(here.cache.find("/a"), []);
});

Deno.test("a soft purge holds against a validation that was asked before it", async () => {
  for (const method of ["GET", "HEAD"]) {
    const head = Promise.withResolvers<void>();
    await using here = world(async (_, number) => {
      if (number !== 2) return { fields: [FRESH, ETAG], body: "same" };
      await head.promise;
      return { status: method === "GET" ? 304 : 200, fields: [FRESH, ETAG], body: null };
    });
    await here.get("/a");
    here.clock.nowMs += 61_000;
    const validating = here.edge.answer(asking("/a", { method }));
    await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: true });
    head.resolve();
    await got(await validating);
    assertStringIncludes((await here.get("/a")).headers.get("cache-status")!, "fwd=stale");
  }
});

Deno.test("a write is answered as its origin answers, and what it changed is not found, though the disk fails", async () => {
  await using here = world(({ method }) => method === "GET" ? { fields: [FRESH], body: "old" } : { body: "done" });
  await here.get("/a");
  here.cache.purge = () => Promise.reject(new Error("the disk is on fire"));
  assertEquals((await got(await here.edge.answer(asking("/a", { method: "DELETE" })))).text, "done");
  assertEquals(here.cache.find("/a"), []);
});

Deno.test("what cannot be put together from parts: once that is known, the origin judges the whole wish", async () => {
  const content = pattern(100_000);
  const object = objectOrigin({ content, etag: 'W/"1"' });
  for (const fields of [[["range", "bytes=0-9"], ["if-range", '"0"']], [["range", "bytes=0-1, 90000-90001"]]]) {
    await using here = world(object);
    await here.get("/a", fields as [string, string][]);
    assertEquals(here.origins.requests.map((_, at) => here.origins.field(at + 1, "range")), [
      "bytes=0-65535",
      fields[0]![1]!,
    ]);
  }
});

Deno.test("parts that cannot be put together: each is asked for as a part", async () => {
  const content = pattern(1_000_000);
  await using here = world(objectOrigin({ content, etag: 'W/"1"' }));
  for (const start of [0, 500_000, 900_000]) {
    const { text } = await here.get("/a", [["range", `bytes=${start}-${start + 9}`]]);
    assertEquals(text, asText(content.subarray(start, start + 10)));
  }
  assertEquals(here.origins.requests.length, 3);
  assertEquals(here.origins.requests.filter(({ fields }) => fields.some(([name]) => name === "range")).length, 3);
});

Deno.test("a target longer than any key is passed on, and never stored", async () => {
  await using here = world(() => ({ fields: [FRESH], body: "x" }));
  const target = `/${"a".repeat(9000)}`;
  assertStringIncludes((await here.get(target)).headers.get("cache-status")!, "fwd=bypass");
  assertEquals(here.cache.find(target), []);
});

Deno.test("by Deno.serve: an empty query is one, and answers without a body may come with an empty one", async () => {
  await using here = world(({ method }) => ({ status: method === "POST" ? 205 : 200, body: new ManualBody().end() }));
  for (const url of ["http://www.test/a?", "http://www.test/a"]) {
    const request = new Request(url);
    const answer = await answerFromEdge(request, splitTarget(url), here.edge, "192.0.2.1");
    await answer.body?.cancel();
  }
  assertEquals(here.origins.requests.map(({ target }) => target), ["/a?", "/a"]);
  const url = "http://www.test/a";
  const reset = await answerFromEdge(new Request(url, { method: "POST" }), splitTarget(url), here.edge, "192.0.2.1");
  assertEquals(reset.status, 205);
});
