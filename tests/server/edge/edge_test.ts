import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { openCache } from "../../../server/edge/cache/mod.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { settled } from "./cache/kit.ts";
import { asking, asText, got, ManualBody, objectOrigin, pattern, textOf, world } from "./kit.ts";

const FRESH: [string, string] = ["cache-control", "max-age=60"];

Deno.test("what is fresh is served without the origin, with its age; what is stale is validated", async () => {
  await using here = world((_, number) =>
    number === 1
      ? { fields: [FRESH, ["etag", '"1"'], ["x-one", "1"]], body: "hello" }
      : { status: 304, fields: [FRESH, ["etag", '"1"'], ["x-one", "2"]] }
  );
  const first = await here.get("/a");
  assertEquals([first.status, first.text], [200, "hello"]);
  assertStringIncludes(first.headers.get("cache-status")!, "fwd=uri-miss");
  assertStringIncludes(first.headers.get("cache-status")!, "stored");
  here.clock.nowMs += 30_000;
  const second = await here.get("/a");
  assertEquals([second.text, second.headers.get("age"), second.headers.get("content-length")], ["hello", "30", "5"]);
  assertEquals(second.headers.get("cache-status"), "edge;hit;ttl=30");
  assertEquals(here.origins.requests.length, 1);
  here.clock.nowMs += 31_000;
  const third = await here.get("/a");
  assertEquals([third.text, third.headers.get("x-one"), third.headers.get("age")], ["hello", "2", "0"]);
  assertEquals(here.origins.field(2, "if-none-match"), '"1"');
  assertStringIncludes(third.headers.get("cache-status")!, "fwd=stale;fwd-status=304");
});

Deno.test("a thousand who miss one object make one request, and get its bytes as they come", async () => {
  const body = new ManualBody();
  await using here = world(() => ({ fields: [FRESH, ["content-length", "8"]], body }));
  const asked = Array.from({ length: 1000 }, () => here.edge.answer(asking("/a")));
  const answers = await Promise.all(asked);
  assertEquals(here.origins.requests.length, 1);
  body.push("abcd");
  const into = new Uint8Array(100);
  const first = answers[0]!.body;
  assert(first !== null && typeof first === "object" && "read" in first);
  assertEquals(await first.read(into), 4, "the first bytes, long before the last");
  body.push("efgh").end();
  assertEquals(await textOf(first), "efgh");
  const texts = await Promise.all(answers.slice(1).map(({ body }) => textOf(body)));
  assertEquals(new Set(texts), new Set(["abcdefgh"]));
  const statuses = answers.slice(1).map(({ headers }) => headers.find(([name]) => name === "cache-status")![1]);
  assert(statuses.every((status) => status.includes("collapsed")), statuses[0]);
  assertEquals(here.edge.figures.collapsed, 999);
});

Deno.test("an answer that cannot be stored goes to who asked for it alone, and queues nobody", async () => {
  let under = 0, most = 0;
  await using here = world(async (_, number) => {
    most = Math.max(most, ++under);
    await new Promise((resolve) => setTimeout(resolve, 0));
    under--;
    return { fields: [["cache-control", "private"]], body: `for ${number}` };
  });
  const texts = (await Promise.all(Array.from({ length: 20 }, () => here.get("/a")))).map(({ text }) => text);
  assertEquals(new Set(texts).size, 20, "each has its own");
  assertEquals(most, 19, "once it is known, all go at the same time");
  assertEquals(here.cache.find("/a"), []);
});

Deno.test("an origin that fails in the middle is an error for all who wait, and no short success", async () => {
  const bodies: ManualBody[] = [];
  await using here = world(() => {
    bodies.push(new ManualBody().push("abc"));
    return { fields: [FRESH, ["content-length", "8"]], body: bodies.at(-1)! };
  });
  const answers = await Promise.all([1, 2, 3].map(() => here.edge.answer(asking("/a"))));
  bodies[0]!.fail();
  for (const { body } of answers) await assertRejects(() => textOf(body), CdnError);
  assertEquals(here.origins.requests.length, 1);
  assertEquals(here.cache.find("/a"), [], "nothing can complete it: it has no strong validator");
});

Deno.test("what broke off is completed where it has a strong validator, while its readers wait", async () => {
  const content = pattern(300_000);
  const object = objectOrigin({ content, etag: '"1"' });
  await using here = world((request, number) => {
    if (number > 1) return object(request, number);
    const body = new ManualBody().push(content.subarray(0, 100_000)).fail();
    return { fields: [FRESH, ["etag", '"1"'], ["content-length", "300000"]], body };
  });
  assertEquals((await here.get("/a")).text, asText(content));
  assertEquals(here.origins.field(2, "if-range"), '"1"');
  assertEquals(here.origins.field(2, "range"), "bytes=100000-");
});

Deno.test("a slow reader holds nobody up", async () => {
  const content = pattern(2_000_000);
  await using here = world(objectOrigin({ content, etag: '"1"' }));
  const slow = await here.edge.answer(asking("/a"));
  const quick = await here.get("/a");
  assertEquals(quick.text, asText(content));
  assertEquals(await textOf(slow.body, 10_000), asText(content));
  assertEquals(here.origins.requests.length, 1);
});

Deno.test("ranges: parts of what is stored; the rest is asked for when somebody comes to it", async () => {
  const content = pattern(1_000_000);
  await using here = world(objectOrigin({ content, etag: '"1"' }));
  const middle = await here.get("/a", [["range", "bytes=500000-500009"]]);
  assertEquals([middle.status, middle.text], [206, asText(content.subarray(500_000, 500_010))]);
  assertEquals(middle.headers.get("content-range"), "bytes 500000-500009/1000000");
  assertEquals(here.origins.field(1, "range"), "bytes=458752-524287", "in whole blocks");
  const near = await here.get("/a", [["range", "bytes=510000-510009"]]);
  assertEquals(near.text, asText(content.subarray(510_000, 510_010)));
  assertStringIncludes(near.headers.get("cache-status")!, "hit");
  assertEquals(here.origins.requests.length, 1);
  const whole = await here.get("/a");
  assertEquals([whole.status, whole.headers.get("content-length")], [200, "1000000"]);
  assertEquals(whole.text, asText(content));
  assertStringIncludes(whole.headers.get("cache-status")!, "fwd=partial");
  assertEquals(
    here.origins.requests.slice(1).map((_, at) => here.origins.field(at + 2, "range")),
    ["bytes=0-458751", "bytes=524288-"],
    "only what was missing",
  );
  const parts = await here.get("/a", [["range", "bytes=0-1,999998-"]]);
  assertEquals(parts.status, 206);
  assertStringIncludes(parts.headers.get("content-type")!, "multipart/byteranges");
  assertEquals(parts.text.length, Number(parts.headers.get("content-length")));
  assertStringIncludes(parts.text, asText(content.subarray(0, 2)));
  assertEquals((await here.get("/a", [["range", "bytes=2000000-"]])).status, 416);
  assertEquals(here.origins.requests.length, 3);
});

Deno.test("Cache-Status says partial wherever an origin has a part in the answer, and only there", async () => {
  const content = pattern(3_000_000);
  const body = new ManualBody();
  await using here = world((request, number) => {
    if (number < 4) return objectOrigin({ content, etag: '"1"' })(request, number);
    body.push(content.subarray(1_966_080, 2_100_000));
    return { status: 206, fields: [FRESH, ["etag", '"1"'], ["content-range", "bytes 1966080-2999999/3000000"]], body };
  });
  const says = async (range: string | null) => {
    const { text, headers } = await here.get("/a", range === null ? [] : [["range", range]]);
    return [text.length, headers.get("cache-status")];
  };
  assertEquals(await says("bytes=0-99999"), [100_000, "edge;fwd=uri-miss;fwd-status=206;stored"]);
  assertEquals(await says("bytes=0-99999"), [100_000, "edge;hit;ttl=60"]);
  assertEquals(await says("bytes=0-999999"), [1_000_000, "edge;fwd=partial;stored"], "held is only how it begins");
  const two = await says("bytes=0-1,1300000-1300001");
  assertEquals(two[1], "edge;fwd=partial;stored", "of two ranges only one is held");
  const { body: slow } = await here.edge.answer(asking("/a", { fields: [["range", "bytes=2000000-"]] }));
  assertEquals(await says("bytes=2000000-2000009"), [10, "edge;hit;ttl=60"]);
  const joined = await here.edge.answer(asking("/a", { fields: [["range", "bytes=2000000-"]] }));
  assertStringIncludes(new Map(joined.headers).get("cache-status")!, "hit", "what comes, comes for another");
  body.push(content.subarray(2_100_000)).end();
  assertEquals((await textOf(slow)).length, 1_000_000);
  assertEquals((await textOf(joined.body)).length, 1_000_000);
  assertEquals(await says("bytes=1966080-2999999"), [1_033_920, "edge;hit;ttl=60"]);
  assertEquals(here.origins.requests.length, 4);
});

Deno.test("a thousand ranges are one answer, the whole", async () => {
  const content = pattern(1000);
  await using here = world(objectOrigin({ content, etag: '"1"' }));
  await here.get("/a");
  const flood = Array.from({ length: 1000 }, (_, at) => `${at}-${at}`).join();
  const answer = await here.get("/a", [["range", `bytes=${flood}`]]);
  assertEquals([answer.status, answer.text.length], [200, 1000]);
});

Deno.test("an object that changes in the middle is never put together from two versions", async () => {
  const state = { content: pattern(1_000_000), etag: '"1"' };
  await using here = world(objectOrigin(state));
  await here.get("/a", [["range", "bytes=0-9"]]);
  state.content = pattern(1_000_000).map((byte) => byte ^ 255);
  state.etag = '"2"';
  const late = await here.get("/a", [["range", "bytes=900000-900009"]]);
  assertEquals(late.text, asText(state.content.subarray(900_000, 900_010)));
  assertEquals(late.headers.get("etag"), '"2"');
  const whole = await here.get("/a");
  assertEquals(whole.text, asText(state.content));
});

Deno.test("an object that changes while it is being sent breaks off", async () => {
  const state = { content: pattern(1_000_000), etag: '"1"' };
  await using here = world(objectOrigin(state));
  await here.get("/a", [["range", "bytes=0-9"]]);
  const { body, headers } = await here.edge.answer(asking("/a"));
  assertEquals(new Headers(headers as [string, string][]).get("etag"), '"1"');
  state.content = pattern(500_000);
  state.etag = '"2"';
  await assertRejects(() => textOf(body), CdnError, "another version");
  assertEquals((await here.get("/a")).headers.get("etag"), '"2"');
});

Deno.test("nobody reads on: a long body is given up, and completed by who comes next", async () => {
  const content = pattern(3_000_000);
  const object = objectOrigin({ content, etag: '"1"' });
  const body = new ManualBody();
  await using here = world((request, number) =>
    number > 1 ? object(request, number) : { fields: [FRESH, ["etag", '"1"'], ["content-length", "3000000"]], body }
  );
  const answer = await here.edge.answer(asking("/a"));
  assert(answer.body !== null && typeof answer.body === "object" && "cancel" in answer.body);
  body.push(content.subarray(0, 400_000));
  assert(await answer.body.read(new Uint8Array(1000)));
  answer.body.cancel();
  for (let at = 400_000; !body.cancelled && at < 2_000_000; at += 1000) {
    body.push(content.subarray(at, at + 1000));
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert(body.cancelled);
  assert(body.taken < 1_500_000);
  assertEquals((await here.get("/a")).text, asText(content));
});

Deno.test("a write goes to the origin as it is, and what it says it changed is gone before its answer", async () => {
  let content = "one";
  await using here = world(async ({ method, body }) => {
    if (method !== "PUT") return { fields: [FRESH], body: content };
    content = await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).text();
    return { status: 204 };
  });
  assertEquals((await here.get("/a")).text, "one");
  const answer = await got(
    await here.edge.answer(
      asking("/a", {
        method: "PUT",
        body: new Blob(["two"]).stream(),
        bodyLength: 3,
        fields: [["authorization", "x"]],
      }),
    ),
  );
  assertEquals(answer.status, 204);
  assertEquals(here.origins.field(2, "authorization"), "x");
  assertEquals((await here.get("/a")).text, "two");
});

Deno.test("what was asked before a purge is stale when it comes after it", async () => {
  const body = new ManualBody();
  const answered = Promise.withResolvers<void>();
  await using here = world(async (_, number) => {
    if (number > 1) return { fields: [FRESH, ["etag", '"2"']], body: "new" };
    await answered.promise;
    return { fields: [FRESH, ["etag", '"1"'], ["content-length", "3"]], body };
  });
  const early = here.edge.answer(asking("/a"));
  await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: false });
  answered.resolve();
  body.push("old").end();
  assertEquals((await got(await early)).text, "old");
  assertEquals((await here.get("/a")).text, "new");
});

Deno.test("the viewer's Host, and fields that nothing is keyed by, reach no origin", async () => {
  await using here = world(() => ({ fields: [FRESH], body: "x" }));
  await here.get("/a", [["host", "evil.test"], ["x-forwarded-host", "evil.test"], ["forwarded", "host=evil.test"]]);
  const { fields, target } = here.origins.requests[0]!;
  assertEquals(target, "/a");
  assertEquals(fields.filter(([, value]) => value.includes("evil")), []);
});

Deno.test("variants: each who asks gets his own, and their number is bounded", async () => {
  await using here = world(({ fields }) => {
    const language = fields.find(([name]) => name === "accept-language")?.[1] ?? "none";
    return { fields: [FRESH, ["vary", "Accept-Language"]], body: language };
  });
  assertEquals((await here.get("/a", [["accept-language", "de"]])).text, "de");
  assertEquals((await here.get("/a", [["accept-language", "fr"]])).text, "fr");
  assertEquals((await here.get("/a", [["accept-language", "DE"]])).text, "de");
  assertEquals(here.origins.requests.length, 2);
  for (let at = 0; at < 100; at++) await here.get("/a", [["accept-language", `x-${at}`]]);
  assertEquals(here.cache.find("/a").length, 32);
});

Deno.test("only-if-cached asks nobody", async () => {
  await using here = world(() => ({ fields: [FRESH], body: "x" }));
  const error = await assertRejects(() => here.get("/a", [["cache-control", "only-if-cached"]]), CdnError);
  assertEquals([error.status, here.origins.requests.length], [504, 0]);
});

Deno.test("stale-while-revalidate: the stale one at once, and a fresh one for the next", async () => {
  const asked = Promise.withResolvers<void>();
  await using here = world((_, number) => {
    if (number === 2) asked.resolve();
    return {
      fields: [["cache-control", "max-age=1, stale-while-revalidate=60"], ["etag", `"${number}"`]],
      body: `${number}`,
    };
  });
  await here.get("/a");
  here.clock.nowMs += 5000;
  const stale = await here.get("/a");
  assertEquals(stale.text, "1");
  await asked.promise;
  while ((await here.get("/a")).text !== "2") await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(here.origins.requests.length, 2);
});

Deno.test("stale-if-error: a stale answer stands in for an origin that fails, and only where it may", async () => {
  let fails: "no" | "503" | "down" = "no";
  await using here = world(({ target }) => {
    if (fails === "down") throw new CdnError("no origin answers", { source: "origin", status: 502 });
    if (fails === "503") return { status: 503, body: "sorry" };
    return {
      fields: [["cache-control", target === "/a" ? "max-age=1, stale-if-error=60" : "max-age=1, must-revalidate"]],
      body: "good",
    };
  });
  await here.get("/a");
  await here.get("/b");
  here.clock.nowMs += 5000;
  fails = "503";
  const stale = await here.get("/a");
  assertEquals([stale.status, stale.text], [200, "good"]);
  assertStringIncludes(stale.headers.get("cache-status")!, "fwd=stale;fwd-status=503");
  assertEquals((await here.get("/b")).status, 503);
  fails = "down";
  assertEquals((await here.get("/a")).text, "good");
  await assertRejects(() => here.get("/b"), CdnError);
});

Deno.test("finished answers: for what was served from memory, as long as it is that", async () => {
  await using here = world((_, number) => ({ fields: [FRESH, ["etag", `"${number}"`]], body: `body ${number}` }));
  assertEquals(here.edge.hot("/a"), null);
  await here.get("/a");
  await here.get("/a");
  const finished = here.edge.hot("/a");
  assert(finished);
  const text = asText(finished.bytes);
  assert(text.startsWith("HTTP/1.1 200 OK\r\n"));
  assert(text.endsWith("\r\n\r\nbody 1"));
  assertEquals(text.slice(finished.ageAt, finished.ageAt + 12), "0000000000\r\n");
  assertEquals(finished.untilMs, here.clock.nowMs + 60_000);
  assertEquals(finished.etag, '"1"');
  assert(asText(finished.notModified!.bytes).startsWith("HTTP/1.1 304 Not Modified\r\n"));
  await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: true });
  assertEquals(here.edge.hot("/a"), null);
});

Deno.test("a sibling is told the tags of what it gets; viewers are not", async () => {
  await using here = world(() => ({ fields: [FRESH, ["surrogate-key", "a b"]], body: "x" }));
  const viewer = await here.get("/a");
  assertEquals([viewer.headers.get("surrogate-key"), viewer.headers.get("cache-tag")], [null, null]);
  const sibling = await here.get("/a", [["metacdn-sibling", "x;log=1;head=0"]]);
  assertEquals(sibling.headers.get("cache-tag"), "a,b");
});

Deno.test("a field that is withheld from others goes to who asked", async () => {
  await using here = world(() => ({
    fields: [["cache-control", 'max-age=60, no-cache="set-cookie"'], ["set-cookie", "a=b"]],
    body: "hello",
  }));
  const both = await Promise.all([here.get("/a"), here.get("/a")]);
  assertEquals(both.map(({ headers }) => headers.get("set-cookie")), ["a=b", null]);
  const third = await here.get("/a");
  assertEquals([third.headers.get("set-cookie"), third.text], [null, "hello"]);
  assertEquals(here.origins.requests.length, 1);
});

Deno.test("a part that is not what was asked for is passed on, and asked for once", async () => {
  for (const range of ["bytes 0-4/10", "bytes 5-9/*"]) {
    await using here = world(() => ({ status: 206, fields: [FRESH, ["content-range", range]], body: "01234" }));
    const { status, headers, text } = await here.get("/a", [["range", "bytes=-5"]]);
    assertEquals([status, headers.get("content-range"), text], [206, range, "01234"]);
    assertEquals(here.origins.requests.length, 1);
    assertEquals(here.cache.find("/a"), []);
  }
});

Deno.test("a long body that is asked for often has a finished answer, too, where it fits", async () => {
  const content = pattern(3_000_000);
  await using here = world(objectOrigin({ content, etag: '"1"' }));
  let finished = here.edge.hot("/a");
  for (let times = 0; times < 20 && !finished; times++) {
    assertEquals((await here.get("/a")).text, asText(content));
    finished = here.edge.hot("/a");
  }
  assert(finished);
  assertEquals(asText(finished.bytes.subarray(finished.headLength)), asText(content));
  assertEquals(here.origins.requests.length, 1);
});

Deno.test("an update that makes it one viewer's own goes to nobody who waited beside him", async () => {
  const heads = [1, 2, 3].map(() => Promise.withResolvers<void>());
  await using here = world(async (_, number) => {
    await heads[number - 1]?.promise;
    if (number === 1) return { fields: [["cache-control", "max-age=0"], ["etag", '"1"']], body: "x" };
    return { status: 304, fields: [["cache-control", "private"], ["etag", '"1"'], ["x-for", `${number}`]] };
  });
  const asked = [1, 2, 3].map(() => here.get("/a"));
  for (const { resolve } of heads) resolve();
  const answers = await Promise.all(asked);
  const own = answers.map(({ headers }) => headers.get("x-for"));
  assertEquals(new Set(own).size, 3, "each was asked for");
});

Deno.test("a soft purge holds though the answer to an earlier validation comes after it", async () => {
  const head = Promise.withResolvers<void>();
  await using here = world(async (_, number) => {
    if (number === 2) await head.promise;
    const status = number === 1 ? 200 : 304;
    return { status, fields: [FRESH, ["etag", '"1"']], body: "x" };
  });
  await here.get("/a");
  here.clock.nowMs += 61_000;
  const early = here.get("/a");
  await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: true });
  head.resolve();
  await early;
  await here.get("/a");
  assertEquals(here.origins.requests.length, 3, "it is validated once more");
});

Deno.test("an origin that knows no ranges and breaks off is asked a few times, and no more", async () => {
  await using here = world((_, number) => {
    const body = new ManualBody().push("ab");
    setTimeout(() => number < 9 ? body.push("cd").fail() : body.push("cdefgh").end(), 0);
    return { fields: [FRESH, ["etag", '"1"'], ["content-length", "8"]], body };
  });
  const { body } = await here.edge.answer(asking("/a"));
  await assertRejects(() => textOf(body), CdnError, "went away");
  assertEquals(here.origins.requests.length, 3);
});

Deno.test("an origin that knows no ranges completes all the same, though what it begins with is held", async () => {
  await using here = world((_, number) => {
    const body = new ManualBody().push("ab");
    setTimeout(() => number === 1 ? body.push("cd").fail() : body.push("cdefgh").end(), 0);
    return { fields: [FRESH, ["etag", '"1"'], ["content-length", "8"]], body };
  });
  assertEquals((await here.get("/a")).text, "abcdefgh");
  assertEquals(here.origins.requests.length, 2);
});

Deno.test("only-if-cached is refused where only a part is held, or only the origin can judge a condition", async () => {
  await using here = world(objectOrigin({ content: pattern(200_000), etag: '"1"' }));
  await here.get("/a", [["range", "bytes=0-9"]]);
  const only: [string, string] = ["cache-control", "only-if-cached"];
  for (const fields of [[only], [only, ["if-match", '"1"']]] satisfies [string, string][][]) {
    const error = await assertRejects(() => here.get("/a", fields), CdnError);
    assertEquals(error.status, 504);
  }
  assertEquals((await here.get("/a", [only, ["range", "bytes=5-6"]])).status, 206);
  assertEquals(here.origins.requests.length, 1);
});

Deno.test("the rest of a body is not kept where the origin or the request forbids it, but sent", async () => {
  const content = pattern(200_000);
  const object = objectOrigin({ content, etag: '"1"' });
  await using here = world((request, number) => {
    const reply = object(request, number) as { fields: [string, string][] };
    return number === 3 ? { ...reply, fields: [...reply.fields, ["cache-control", "no-store"]] } : reply;
  });
  await here.get("/a", [["range", "bytes=0-9"]]);
  const secret = await here.get("/a", [["authorization", "x"]]);
  assertEquals([secret.text, secret.headers.get("cache-status")], [asText(content), "edge;fwd=partial"]);
  assertEquals(here.cache.find("/a")[0]!.held, [{ start: 0, end: 65_536 }]);
  assertEquals((await here.get("/a")).text, asText(content));
  assertEquals(here.cache.find("/a"), []);
});

Deno.test("several ranges of what has no strong validator are answered, if by the whole", async () => {
  const content = pattern(200_000);
  await using here = world(objectOrigin({ content, etag: 'W/"1"' }));
  const answer = await here.get("/a", [["range", "bytes=0-1,150000-150001"]]);
  assertEquals([answer.status, answer.text], [200, asText(content)]);
});

Deno.test("a body of unknown length ends where it ends, whoever brings its last byte", async () => {
  const content = pattern(600_000);
  const body = new ManualBody();
  const object = objectOrigin({ content, etag: '"1"' });
  await using here = world((request, number) =>
    number > 1 ? object(request, number) : { fields: [FRESH, ["etag", '"1"']], body }
  );
  const slow = await here.edge.answer(asking("/a"));
  const quick = here.get("/a");
  body.push(content).end();
  assertEquals((await quick).text, asText(content));
  await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: false });
  assertEquals(await textOf(slow.body), asText(content));
});

Deno.test("who reads what is on disk gets all of it, though it is purged and the origin has another version by then", async () => {
  await using dir = await tempDir();
  const cache = await openCache({ folder: dir.path, diskBytes: 64 << 20, memoryBytes: 4 << 20, minFreeBytes: 0 });
  const state = { content: pattern(3_000_000), etag: '"1"' };
  const before = state.content;
  await using here = world(objectOrigin(state), { cache });
  assertEquals((await here.get("/a")).text, asText(before));
  const slow = await here.edge.answer(asking("/a"));
  assert(slow.body !== null && typeof slow.body === "object" && "read" in slow.body);
  const into = new Uint8Array(1000);
  const first = await slow.body.read(into);
  state.content = pattern(2_000_000).map((byte) => byte ^ 255);
  state.etag = '"2"';
  await settled(cache);
  await here.edge.purge({ keys: ["/a"], prefixes: [], tags: [] }, { soft: false });
  assertEquals((await here.get("/a")).text, asText(state.content));
  assertEquals(asText(into.subarray(0, first!)) + await textOf(slow.body), asText(before));
});

Deno.test("what was written through an edge is not asked of siblings, who may have what was there before", async () => {
  await using here = world(({ method }) => method === "PUT" ? { status: 204 } : { fields: [FRESH], body: "x" });
  const marks = () => here.origins.requests.map(({ fields }) => fields.some(([name]) => name === "metacdn-sibling"));
  await here.get("/a");
  await here.edge.answer(asking("/a", { method: "PUT", body: new Blob(["two"]).stream(), bodyLength: 3 }));
  await here.get("/a");
  await here.get("/b");
  assertEquals(marks(), [false, false, true, false]);
  here.clock.nowMs += 3_700_000;
  await here.get("/a");
  assertEquals(marks().at(-1), false);
});
