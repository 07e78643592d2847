/** Bodies while they come: who reads them when, who leaves, and origins that send something else than they should. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { BodySource } from "../../../runtime/http1/body_source.ts";
import { asking, asText, got, ManualBody, objectOrigin, pattern, textOf, world } from "./kit.ts";

const FRESH: [string, string] = ["cache-control", "max-age=60"];
const ETAG: [string, string] = ["etag", '"1"'];
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

function source(body: unknown): BodySource {
  assert(body !== null && typeof body === "object" && "cancel" in body);
  return body as BodySource;
}

Deno.test("a viewer who leaves while its reader waits ends that wait, whether anything is kept or not", async () => {
  for (const kept of [true, false]) {
    const body = new ManualBody();
    await using here = world(() => ({ fields: [FRESH, ETAG, ["content-length", "8"]], body }));
    const leaving = source((await here.edge.answer(asking("/a"))).body);
    const staying = source((await here.edge.answer(asking("/a"))).body);
    if (!kept) await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: false });
    const reading = leaving.read(new Uint8Array(8));
    await turn();
    leaving.cancel();
    body.push("abcd");
    assertEquals(await reading, null);
    body.push("efgh").end();
    assertEquals(await textOf(staying), "abcdefgh");
  }
});

Deno.test("an origin that knows no ranges: who wants a late part waits for it, and nobody asks again and again", async () => {
  const content = pattern(3_000_000);
  await using here = world(() => {
    assert(here.origins.requests.length < 10, "it is asked again and again");
    return { fields: [FRESH, ETAG], body: content };
  });
  const late = await here.get("/a", [["range", "bytes=2500000-2500009"]]);
  assertEquals([late.status, late.text], [206, asText(content.subarray(2_500_000, 2_500_010))]);
  assertEquals(here.origins.requests.length, 1);
  assertEquals((await here.get("/a")).text, asText(content));
});

Deno.test("an origin that knows no ranges, in the middle of a whole: a late part comes with a second answer", async () => {
  const content = pattern(3_000_000);
  const first = new ManualBody().push(content.subarray(0, 1000));
  await using here = world((_, number) => {
    assert(number < 10, "it is asked again and again");
    return { fields: [FRESH, ETAG, ["content-length", "3000000"]], body: number === 1 ? first : content };
  });
  const whole = await here.edge.answer(asking("/a"));
  const late = await here.get("/a", [["range", "bytes=2500000-2500009"]]);
  assertEquals(late.text, asText(content.subarray(2_500_000, 2_500_010)));
  first.push(content.subarray(1000)).end();
  assertEquals(await textOf(whole.body), asText(content));
  assertEquals(here.origins.requests.length, 2);
});

Deno.test("an origin that answers each range with another one is given up", async () => {
  const content = pattern(1_000_000);
  const object = objectOrigin({ content, etag: '"1"' });
  const RANGE: [string, string] = ["range", "bytes=0-9"];
  await using here = world((request, number) => {
    assert(number < 20, "it is asked again and again");
    const wrong = { ...request, fields: [...request.fields.filter(([name]) => name !== "range"), RANGE] };
    return number === 1 ? object(request, number) : object(wrong, number);
  });
  await here.get("/a", [RANGE]);
  const answer = await here.get("/a", [["range", "bytes=900000-900009"]]);
  const passedOn = [206, "bytes 0-9/1000000", asText(content.subarray(0, 10))];
  assertEquals([answer.status, answer.headers.get("content-range"), answer.text], passedOn);
});

Deno.test("a part of what nobody knows the length of is no whole", async () => {
  await using here = world(({ fields }) =>
    fields.some(([name]) => name === "range")
      ? { status: 206, fields: [FRESH, ETAG, ["content-range", "bytes 0-3/*"]], body: "abcd" }
      : { fields: [FRESH, ETAG], body: "abcdefgh" }
  );
  await here.get("/a", [["range", "bytes=0-3"]]);
  const whole = await here.get("/a");
  assertEquals([whole.status, whole.text], [200, "abcdefgh"]);
});

Deno.test("a length that is known at the end only: who began to read in the middle finds the end too", async () => {
  const content = pattern(400_000);
  const body = new ManualBody();
  await using here = world(() => ({ fields: [FRESH], body }));
  const first = await here.edge.answer(asking("/a"));
  body.push(content.subarray(0, 300_000));
  const into = new Uint8Array(1000);
  while (!here.cache.find("/a")[0]!.held.some(({ end }) => end === 300_000)) await turn();
  const second = await here.edge.answer(asking("/a"));
  assertEquals(await source(second.body).read(into), 1000);
  body.push(content.subarray(300_000)).end();
  assertEquals(await textOf(first.body), asText(content));
  assertEquals(asText(into) + await textOf(second.body), asText(content));
  assertEquals(here.origins.requests.length, 1);
  assertEquals((await here.get("/a")).headers.get("content-length"), "400000");
});

Deno.test("who reads what is held counts as a reader of what comes behind it", async () => {
  const content = pattern(3_000_000);
  const body = new ManualBody();
  await using here = world((_, number) => {
    assertEquals(number, 1);
    return { fields: [FRESH, ["content-length", "3000000"]], body };
  });
  const first = source((await here.edge.answer(asking("/a"))).body);
  body.push(content.subarray(0, 1_000_000));
  while (!here.cache.find("/a")[0]!.held.some(({ end }) => end === 1_000_000)) await turn();
  const second = source((await here.edge.answer(asking("/a"))).body);
  const into = new Uint8Array(1000);
  assertEquals(await second.read(into), 1000);
  first.cancel();
  for (let at = 1_000_000; at < 3_000_000; at += 100_000) {
    body.push(content.subarray(at, at + 100_000));
    await turn();
  }
  body.end();
  assertEquals(asText(into) + await textOf(second), asText(content));
});

Deno.test("what is held in part, and cannot be completed, is asked for anew before a byte of it is sent", async () => {
  const content = pattern(2_000_000);
  await using here = world(() => ({ fields: [FRESH], body: content }));
  assertEquals((await here.get("/a")).text, asText(content));
  // Others needed the room.
  Object.assign(here.cache.find("/a")[0]!, { held: [{ start: 0, end: 1_000_000 }] });
  assertEquals((await here.get("/a")).text, asText(content));
  assertEquals(here.origins.requests.length, 2);
});

Deno.test("parts without a strong validator are their viewers' own: nobody takes another's from him", async () => {
  const content = pattern(1_000_000);
  const object = objectOrigin({ content, etag: 'W/"1"' });
  await using here = world(object);
  const part = (start: number) =>
    here.edge.answer(asking("/a", { fields: [["range", `bytes=${start}-${start + 399_999}`]] }));
  const first = await part(0);
  const into = new Uint8Array(1000);
  assertEquals(await source(first.body).read(into), 1000);
  for (let at = 0; at < 100; at++) await turn();
  assertEquals((await got(await part(500_000))).text, asText(content.subarray(500_000, 900_000)));
  assertEquals((await here.get("/a")).text, asText(content));
  assertEquals(asText(into) + await textOf(first.body), asText(content.subarray(0, 400_000)));
});

Deno.test("a slow reader keeps no memory of what has come in, once it is all kept", async () => {
  const content = pattern(2_000_000);
  await using here = world(() => ({ fields: [FRESH], body: content }));
  const body = source((await here.edge.answer(asking("/a"))).body);
  const into = new Uint8Array(1000);
  let text = "";
  const read = async () => text += asText(into.subarray(0, await body.read(into) ?? 0));
  await read();
  while (here.cache.find("/a")[0]!.held[0]!.end < content.length) await turn();
  await turn();
  for (let at = 0; at < 300; at++) await read();
  assert(body.ready, "it reads the cache alone");
  assertEquals(text + await textOf(body), asText(content));
});

Deno.test("a part that is all there is needs no other, and is stored", async () => {
  await using here = world(objectOrigin({ content: pattern(1000), etag: 'W/"1"' }));
  await here.get("/a", [["range", "bytes=0-9"]]);
  const whole = await here.get("/a");
  assertEquals([whole.text.length, whole.headers.get("cache-status")], [1000, "edge;hit;ttl=60"]);
});

Deno.test("a part in chunks: more than it said is cut off, less is an error", async () => {
  const content = pattern(400_000);
  const range: [string, string] = ["content-range", "bytes 0-299999/400000"];
  for (const sent of [350_000, 250_000]) {
    const body = new ManualBody();
    await using here = world(({ fields }, number) => {
      if (number > 1) return objectOrigin({ content, etag: '"1"' })({ fields } as never, number);
      return { status: 206, fields: [FRESH, ETAG, range], body };
    });
    body.push(content.subarray(0, 150_000));
    const answer = await here.edge.answer(asking("/a", { fields: [["range", "bytes=0-299999"]] }));
    // What comes beyond its end is not what stands there.
    body.push(content.subarray(150_000, Math.min(sent, 300_000))).push(new Uint8Array(Math.max(0, sent - 300_000)));
    body.end();
    assertEquals(await textOf(answer.body), asText(content.subarray(0, 300_000)));
    assertEquals((await here.get("/a")).text, asText(content));
  }
});

Deno.test("a refresh that nobody reads and the cache cannot keep is given up", async () => {
  const content = pattern(3_000_000);
  const body = new ManualBody();
  await using here = world((_, number) =>
    number === 1
      ? { fields: [["cache-control", "max-age=1, stale-while-revalidate=60"], ETAG], body: "old" }
      : { fields: [FRESH, ["etag", '"2"'], ["content-length", "3000000"]], body }
  );
  await here.get("/a");
  here.clock.nowMs += 5000;
  assertEquals((await here.get("/a")).text, "old");
  while (here.origins.requests.length < 2) await turn();
  await here.cache.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: false });
  for (let at = 0; at < 3_000_000 && !body.cancelled; at += 10_000) {
    body.push(content.subarray(at, at + 10_000));
    await turn();
  }
  assert(body.cancelled);
});

Deno.test("a cache that fails ends what comes in, and gives its connection back", async () => {
  const body = new ManualBody();
  await using here = world(() => ({ fields: [FRESH, ["content-length", "8"]], body }));
  const answer = await here.edge.answer(asking("/a"));
  here.cache.find("/a")[0]!.write = () => Promise.reject(new Error("the disk is on fire"));
  body.push("abcd");
  await assertRejects(() => textOf(answer.body));
  assert(body.cancelled);
});

Deno.test("of what is passed on and nobody waits for any more, the body is given up", async () => {
  const head = Promise.withResolvers<void>();
  const bodies: ManualBody[] = [];
  await using here = world(async (_, number) => {
    if (number === 1) await head.promise;
    const body = new ManualBody().push(`for ${number}`);
    bodies.push(number === 1 ? body : body.end());
    return { fields: [["cache-control", "private"]], body };
  });
  const left = new AbortController();
  const leading = here.edge.answer(asking("/a", { signal: left.signal }));
  const joining = here.edge.answer(asking("/a"));
  left.abort();
  await assertRejects(() => leading);
  head.resolve();
  assertEquals((await got(await joining)).text, "for 2");
  assert(bodies[0]!.cancelled, "nobody reads it");
});
