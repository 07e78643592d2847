/** A server that begins with nothing, or with half: it answers at once, and fills itself. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { eventually, startTestServer, type TestServer } from "../kit/mod.ts";
import { digest, noise, quick } from "./cluster/node.ts";

const COUNT = 20;
const content = (at: number) => noise(20_000 + at, at + 1);

async function put(server: TestServer, path: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  const response = await server.fetch(path, { method: "PUT", body });
  await response.body?.cancel();
  assertEquals(response.status, 201);
}

async function ready(server: TestServer): Promise<string> {
  let text = "";
  await eventually(async () => {
    const response = await server.fetch("/-/readyz");
    text = await response.text();
    return response.ok;
  }, { what: `${server.id} is ready` });
  return text;
}

Deno.test("an empty server knows all at once, answers with what it does not hold, and says how much is left", async () => {
  await using a = await startTestServer({ id: "a", cluster: quick });
  for (let at = 0; at < COUNT; at++) await put(a, `/f/${at}`, content(at));
  // A byte a second in the background: what it hands out has come on demand.
  await using b = await startTestServer({
    id: "b",
    peers: [a.url],
    cluster: { ...quick, syncBytesPerSecond: 1 },
  });
  assertStringIncludes(await ready(b), "objects to come");
  for (let at = 0; at < COUNT; at++) {
    const response = await b.fetch(`/f/${at}`);
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("content-length"), String(20_000 + at));
    assertEquals(digest(await response.bytes()), digest(content(at)));
  }
  const missing = await b.fetch("/f/none");
  await missing.body?.cancel();
  assertEquals(missing.status, 404);
});

Deno.test("a part of what is not held, its head, and a precondition", async () => {
  await using a = await startTestServer({ id: "a", cluster: quick });
  const film = noise(3_000_000, 9);
  await put(a, "/film", film);
  await using b = await startTestServer({ id: "b", peers: [a.url], cluster: { ...quick, syncBytesPerSecond: 1 } });
  await ready(b);
  const head = await b.fetch("/film", { method: "HEAD" });
  assertEquals([head.status, head.headers.get("content-length")], [200, "3000000"]);
  const part = await b.fetch("/film", { headers: { range: "bytes=1000000-1999999" } });
  assertEquals(part.status, 206);
  assertEquals(digest(await part.bytes()), digest(film.subarray(1_000_000, 2_000_000)));
  const last = await b.fetch("/film", { headers: { range: "bytes=-10" } });
  assertEquals(await last.bytes(), film.slice(-10));
  const known = await b.fetch("/film", { headers: { "if-none-match": head.headers.get("etag")! } });
  assertEquals(known.status, 304);
});

Deno.test("it fills itself, and then needs nobody", async () => {
  const a = await startTestServer({ id: "a", cluster: quick });
  for (let at = 0; at < COUNT; at++) await put(a, `/f/${at}`, content(at));
  await using b = await startTestServer({ id: "b", peers: [a.url], cluster: quick });
  await eventually(async () => await ready(b) === "ok\n", { what: "b is full" });
  await a[Symbol.asyncDispose]();
  for (let at = 0; at < COUNT; at++) {
    const response = await b.fetch(`/f/${at}`);
    assertEquals(digest(await response.bytes()), digest(content(at)));
  }
});

Deno.test("what nobody can give now is a 503 with Retry-After, and no 404", async () => {
  const a = await startTestServer({ id: "a", cluster: quick });
  await put(a, "/first", content(2)); // in the background this one comes first, and uses up the rate for hours
  await put(a, "/only", content(1));
  await using b = await startTestServer({ id: "b", peers: [a.url], cluster: { ...quick, syncBytesPerSecond: 1 } });
  await ready(b);
  await a[Symbol.asyncDispose]();
  const response = await b.fetch("/only");
  const problem = await response.json();
  assertEquals(response.status, 503);
  assert(response.headers.has("retry-after") && problem.retry === true);
});

Deno.test("a server that was told of others and that none has taken yet acknowledges nothing alone", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${silent.addr.port}`;
  silent.close();
  let nowMs = Date.now();
  await using b = await startTestServer({
    id: "b",
    peers: [url],
    cluster: { ...quick, copiesWaitMs: 50 },
    now: () => nowMs,
  });
  const response = await b.fetch("/x", { method: "PUT", body: content(1) });
  await response.body?.cancel();
  assertEquals([response.status, response.headers.get("metacdn-copies")], [503, "1"]);
  // However long nobody answers, a 404 of it means nothing.
  nowMs += 3_600_000;
  const readiness = await b.fetch("/-/readyz");
  await readiness.body?.cancel();
  assertEquals(readiness.status, 503);
});

Deno.test("where there is no room, what others hold is passed on, and not kept; never a wrong byte", async () => {
  await using a = await startTestServer({ id: "a", cluster: quick });
  const bodies = [content(1), noise(3_000_000, 2)];
  for (const [at, body] of bodies.entries()) await put(a, `/f/${at}`, body);
  await using b = await startTestServer({ id: "b", peers: [a.url], cluster: quick, minFreeBytes: 2 ** 60 });
  await ready(b);
  for (const [at, body] of bodies.entries()) {
    for (let time = 0; time < 2; time++) {
      const response = await b.fetch(`/f/${at}`);
      assertEquals(response.status, 200);
      assertEquals(digest(await response.bytes()), digest(body));
    }
  }
  const part = await b.fetch("/f/1", { headers: { range: "bytes=1000000-1999999" } });
  assertEquals(digest(await part.bytes()), digest(bodies[1]!.subarray(1_000_000, 2_000_000)));
  assertStringIncludes(await ready(b), "2 of 2 objects to come");
});
