import { assert, assertEquals, assertMatch } from "@std/assert";
import { formatDigestField, formatEntityTag } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { parsePolicy } from "../../server/mod.ts";
import { memoryStore } from "../../server/store/mod.ts";
import { drained, startTestServer } from "../kit/mod.ts";

const text = "0123456789".repeat(20);
const digest = sha256(new TextEncoder().encode(text));
const etag = formatEntityTag(digest);

Deno.test("an object comes back bit for bit, with all that is known of it", async () => {
  await using server = await startTestServer();
  const put = await server.fetch("/a%20b/caf%C3%A9.txt", {
    method: "PUT",
    body: text,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
      "metacdn-name": "caf%C3%A9 100%25.txt",
      "metacdn-meta-author": "J%C3%B6rg",
      "metacdn-meta-x.y_z": "1",
      "repr-digest": formatDigestField(digest),
    },
  });
  assertEquals([put.status, await put.text()], [201, ""]);
  assertEquals(put.headers.get("location"), "/a%20b/caf%C3%A9.txt");
  assertEquals(put.headers.get("etag"), etag);
  assertEquals(put.headers.get("metacdn-copies"), "1");

  const get = await server.fetch("/a%20b/caf%C3%A9.txt");
  assertEquals(await get.text(), text);
  const { headers } = get;
  assertEquals(headers.get("etag"), etag);
  assertEquals(headers.get("repr-digest"), formatDigestField(digest));
  assertEquals(headers.get("content-type"), "text/plain; charset=utf-8");
  assertEquals(headers.get("content-length"), "200");
  assertEquals(headers.get("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
  assertEquals(headers.get("accept-ranges"), "bytes");
  assertEquals(headers.get("x-content-type-options"), "nosniff");
  assertEquals(headers.get("cache-control"), "public, max-age=2419200");
  assertEquals(Date.parse(headers.get("expires")!) - Date.parse(headers.get("date")!), 2419200_000);
  assertEquals(headers.get("metacdn-version"), put.headers.get("metacdn-version"));
  assertEquals(headers.get("metacdn-name"), "caf%C3%A9 100%25.txt");
  assertEquals(headers.get("metacdn-meta-author"), "J%C3%B6rg");
  assertEquals(headers.get("metacdn-meta-x.y_z"), "1");

  const head = await server.fetch("/a%20b/caf%C3%A9.txt", { method: "HEAD" });
  assertEquals(await head.text(), "");
  const names = (from: Headers) => [...from].filter(([name]) => !["date", "expires"].includes(name));
  assertEquals(names(head.headers), names(headers));

  const described = await (await server.fetch("/-/v1/objects/a%20b/caf%C3%A9.txt")).json();
  assertEquals(described.path, "/a b/café.txt");
  assertEquals(described.sha256, digest);
  assertEquals(described.name, "café 100%.txt");
  assertEquals(described.meta, { "author": "Jörg", "x.y_z": "1" });
});

Deno.test("bodies of every size around the buffer's come back whole, and in part", async () => {
  await using server = await startTestServer();
  for (const size of [0, 1, 65535, 65536, 65537, 300_000]) {
    const bytes = Uint8Array.from({ length: size }, (_, at) => at * 7 + (at >> 8));
    assertEquals((await drained(server.fetch(`/${size}`, { method: "PUT", body: bytes }))).status, 201);
    const response = await server.fetch(`/${size}`);
    assertEquals(response.headers.get("content-length"), String(size));
    assertEquals(response.headers.get("content-type"), "application/octet-stream");
    assertEquals(new Uint8Array(await response.arrayBuffer()), bytes);
    if (size < 2) continue;
    const part = await server.fetch(`/${size}`, { headers: { range: "bytes=1-" } });
    assertEquals([part.status, part.headers.get("content-range")], [206, `bytes 1-${size - 1}/${size}`]);
    assertEquals(new Uint8Array(await part.arrayBuffer()), bytes.subarray(1));
  }
});

Deno.test("ranges: one, several, none that exists, and absurd ones", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  await drained(server.fetch("/x.txt", { method: "PUT", body: text }));
  const get = (headers: Record<string, string>, method = "GET") => server.fetch("/x.txt", { headers, method });

  const one = await get({ range: "bytes=3-6" });
  assertEquals([one.status, await one.text()], [206, "3456"]);
  assertEquals(one.headers.get("content-range"), "bytes 3-6/200");
  assertEquals(one.headers.get("content-length"), "4");
  assertEquals(one.headers.get("etag"), etag);

  const several = await get({ range: "bytes=0-1,190-" });
  assertEquals(several.status, 206);
  assertEquals(several.headers.get("content-range"), null);
  const boundary = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(several.headers.get("content-type")!)![1];
  const body = await several.text();
  assertEquals(several.headers.get("content-length"), String(body.length));
  assertEquals(
    body,
    `--${boundary}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Range: bytes 0-1/200\r\n\r\n01\r\n` +
      `--${boundary}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Range: bytes 190-199/200\r\n\r\n0123456789\r\n` +
      `--${boundary}--\r\n`,
  );

  const beyond = await drained(get({ range: "bytes=200-300" }));
  assertEquals([beyond.status, beyond.headers.get("content-range")], [416, "bytes */200"]);
  assertEquals(beyond.headers.get("cache-control"), "no-store");

  for (const range of ["bytes=-", "bytes=9-2", "lines=1-2", `bytes=${Array(2000).fill("0-0").join(",")}`]) {
    const whole = await get({ range });
    assertEquals([whole.status, (await whole.text()).length], [200, 200], range.slice(0, 30));
  }
  const head = await get({ range: "bytes=3-6" }, "HEAD");
  assertEquals([head.status, head.headers.get("content-length")], [200, "200"]);
});

Deno.test("If-Range: a part of the same version, else the whole", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const headers = { "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT" };
  const put = await drained(server.fetch("/x", { method: "PUT", body: text, headers }));
  assertEquals(put.status, 201);
  const status = async (condition: string) => {
    const headers = { range: "bytes=1-2", "if-range": condition };
    return (await drained(server.fetch("/x", { headers }))).status;
  };
  assertEquals(await status(etag), 206);
  assertEquals(await status(`W/${etag}`), 200);
  assertEquals(await status('"other"'), 200);
  assertEquals(await status("Sun, 06 Nov 1994 08:49:38 GMT"), 200);
});

Deno.test("conditional requests: 304 with the caching fields, 412 for what is not met", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  await drained(server.fetch("/x", { method: "PUT", body: text }));
  const first = await drained(server.fetch("/x"));
  const same = await server.fetch("/x", { headers: { "if-none-match": etag } });
  assertEquals([same.status, await same.text()], [304, ""]);
  for (const name of ["etag", "cache-control", "last-modified", "metacdn-version"]) {
    assertEquals(same.headers.get(name), first.headers.get(name), name);
  }
  assert(same.headers.has("expires"));
  assertEquals(same.headers.get("content-type"), null);
  const headers = { "if-modified-since": first.headers.get("last-modified")! };
  const since = await drained(server.fetch("/x", { headers }));
  assertEquals(since.status, 304);
  const not = await drained(server.fetch("/x", { headers: { "if-match": '"other"' } }));
  assertEquals([not.status, not.headers.get("etag")], [412, etag]);
});

Deno.test("caching fields follow the policy; errors are not cached", async () => {
  const policy = parsePolicy(
    '{"rules":[{"glob":"/live/**","noStore":true},{"glob":"/**/*.css","maxAgeSeconds":60,"cdnMaxAgeSeconds":600}]}',
  );
  await using server = await startTestServer({ store: memoryStore(), policy });
  for (const path of ["/live/a", "/deep/a.css"]) await drained(server.fetch(path, { method: "PUT", body: "x" }));
  const fields = async (path: string) => {
    const { headers } = await drained(server.fetch(path));
    const expires = headers.get("expires");
    return [headers.get("cache-control"), expires && Date.parse(expires) - Date.parse(headers.get("date")!)];
  };
  assertEquals(await fields("/live/a"), ["no-store", null]);
  assertEquals(await fields("/deep/a.css"), ["public, max-age=60", 60_000]);
  assertEquals(await fields("/none.css"), ["no-store", null]);
  // A cache that validates takes over what a 304 says (RFC 9111 §3.2): the same as a 200.
  const { headers } = await drained(server.fetch("/deep/a.css"));
  const same = await drained(server.fetch("/deep/a.css", { headers: { "if-none-match": headers.get("etag")! } }));
  assertEquals([same.status, same.headers.get("cache-control"), same.headers.get("cdn-cache-control")], [
    304,
    "public, max-age=60",
    "max-age=600",
  ]);
});

Deno.test("a delete leaves a tombstone: 404, but with the version that makes it final", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  await drained(server.fetch("/x", { method: "PUT", body: text }));
  const never = await drained(server.fetch("/y"));
  assertEquals([never.status, never.headers.get("metacdn-version")], [404, null]);
  const gone = await drained(server.fetch("/x", { method: "DELETE" }));
  assertEquals(gone.status, 204);
  const version = gone.headers.get("metacdn-version")!;
  assertMatch(version, /^[0-9a-f]{12}-[0-9a-f]{8}-\w+$/);
  for (const [method, path] of [["GET", "/x"], ["HEAD", "/x"], ["GET", "/-/v1/objects/x"], ["DELETE", "/x"]]) {
    const response = await drained(server.fetch(path!, { method: method! }));
    assertEquals([response.status, response.headers.get("metacdn-version")], [404, version], `${method} ${path}`);
  }
  const again = await drained(server.fetch("/x", { method: "PUT", body: text }));
  assertEquals(again.status, 201);
  assert(again.headers.get("metacdn-version")! > version);
});

Deno.test("a body that is gone from the store is a 503 that may be tried elsewhere, never a cut answer", async () => {
  const store = memoryStore();
  await using server = await startTestServer({ store: { ...store, open: () => Promise.resolve(null) } });
  await drained(server.fetch("/x", { method: "PUT", body: text }));
  const response = await server.fetch("/x");
  assertEquals([response.status, (await response.json()).retry], [503, true]);
});

Deno.test("methods: what is allowed is said, everything else is 405", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const ask = async (method: string, path: string) => {
    const response = await drained(server.fetch(path, { method }));
    return [response.status, response.headers.get("allow")];
  };
  const object = "GET, HEAD, PUT, DELETE, OPTIONS";
  assertEquals(await ask("OPTIONS", "/x"), [204, object]);
  assertEquals(await ask("POST", "/x"), [405, object]);
  assertEquals(await ask("PATCH", "/x"), [405, object]);
  assertEquals(await ask("BREW", "/x"), [405, object]);
  assertEquals(await ask("OPTIONS", "/"), [204, "GET, HEAD, OPTIONS"]);
  assertEquals(await ask("PUT", "/"), [405, "GET, HEAD, OPTIONS"]);
  assertEquals(await ask("OPTIONS", "/-/v1/servers"), [204, "GET, HEAD, POST, OPTIONS"]);
  assertEquals(await ask("PUT", "/-/v1/servers"), [405, "GET, HEAD, POST, OPTIONS"]);
  assertEquals(await ask("GET", "/-/nonsense"), [404, null]);
  assertEquals(await ask("PUT", "/-/mine.txt"), [404, null]);
});
