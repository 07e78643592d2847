import { assert, assertEquals } from "@std/assert";
import { CdnError, formatDigestField } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { memoryStore, type Store } from "../../server/store/mod.ts";
import { drained, startTestServer, type TestServer } from "../kit/mod.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

async function put(server: TestServer, path: string, body: string, headers: Record<string, string> = {}) {
  const response = await server.fetch(path, { method: "PUT", body: bytesOf(body), headers });
  const answer = await response.text();
  const detail = response.status >= 400 ? JSON.parse(answer).detail as string : "";
  return { status: response.status, headers: response.headers, detail };
}

const read = async (server: TestServer, path: string) => await (await server.fetch(path)).text();

Deno.test("201 for a new object, 204 for a replaced one; the newest is served", async () => {
  await using server = await startTestServer();
  const first = await put(server, "/x.jpg", "one");
  const second = await put(server, "/x.jpg", "two");
  assertEquals([first.status, second.status], [201, 204]);
  assert(first.headers.get("metacdn-version")! < second.headers.get("metacdn-version")!);
  const response = await server.fetch("/x.jpg");
  assertEquals([await response.text(), response.headers.get("content-type")], ["two", "image/jpeg"]);
});

Deno.test("what is not as it says changes nothing", async () => {
  await using server = await startTestServer({ store: memoryStore(), limits: { maxObjectSize: 100 } });
  await put(server, "/x", "kept");
  const wrong = formatDigestField(sha256(bytesOf("other")));
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`metacdn-meta-k${at}`, "v"]));
  const table: [headers: Record<string, string>, status: number, body?: string][] = [
    [{ "repr-digest": wrong }, 400],
    [{ "content-digest": wrong }, 400],
    [{ "repr-digest": "sha-256=nonsense" }, 400],
    [{ "repr-digest": formatDigestField(sha256(bytesOf("new"))), "content-digest": wrong }, 400],
    [{ "content-range": "bytes 0-2/10" }, 400],
    [{ "content-encoding": "gzip" }, 415],
    [{ "content-type": "no media type" }, 400],
    [{ "last-modified": "yesterday" }, 400],
    [{ "metacdn-name": "100%" }, 400],
    [{ "metacdn-name": "%FF" }, 400],
    [{ "metacdn-name": "a%00b" }, 400],
    [{ "metacdn-name": "x".repeat(513) }, 400],
    [{ "metacdn-meta-a": "x".repeat(1025) }, 400],
    [{ "metacdn-meta-!": "x" }, 400],
    [many, 400],
    [{}, 413, "x".repeat(101)],
    [{ "if-none-match": "*" }, 412],
    [{ "if-match": '"other"' }, 412],
    [{ "if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT" }, 412],
  ];
  for (const [headers, status, body = "new"] of table) {
    const answer = await put(server, "/x", body, headers);
    assertEquals(answer.status, status, `${JSON.stringify(headers).slice(0, 80)}: ${answer.detail}`);
    assert(answer.detail.length > 10);
    assertEquals(await read(server, "/x"), "kept");
  }
  const unknown = await put(server, "/x", "new", { "repr-digest": "sha-512=:AAAA:" });
  assertEquals(unknown.status, 204, "another algorithm is passed over (RFC 9530 §2)");
});

Deno.test("a stream of unknown length is taken, up to the limit", async () => {
  await using server = await startTestServer({ store: memoryStore(), limits: { maxObjectSize: 100_000 } });
  const stream = (chunks: number) => ReadableStream.from(Array.from({ length: chunks }, () => new Uint8Array(10_000)));
  const fits = await drained(server.fetch("/fits", { method: "PUT", body: stream(10) }));
  assertEquals(fits.status, 201);
  const over = await drained(server.fetch("/over", { method: "PUT", body: stream(11) }));
  assertEquals(over.status, 413);
  assertEquals((await drained(server.fetch("/over", { method: "HEAD" }))).status, 404);
});

Deno.test("preconditions hold against writes at the same time: one of many wins", async () => {
  await using server = await startTestServer();
  const created = await Promise.all(
    Array.from({ length: 10 }, (_, at) => put(server, "/one", `writer ${at}`, { "if-none-match": "*" })),
  );
  assertEquals(created.map(({ status }) => status).sort(), [201, ...Array(9).fill(412)]);
  const winner = created.findIndex(({ status }) => status === 201);
  assertEquals(await read(server, "/one"), `writer ${winner}`);

  const etag = created[winner]!.headers.get("etag")!;
  const replaced = await Promise.all(
    Array.from({ length: 10 }, (_, at) => put(server, "/one", `editor ${at}`, { "if-match": etag })),
  );
  assertEquals(replaced.filter(({ status }) => status === 204).length, 1);
  const stale = await drained(server.fetch("/one", { method: "DELETE", headers: { "if-match": etag } }));
  assertEquals(stale.status, 412);
  const none = await drained(server.fetch("/none", { method: "DELETE", headers: { "if-match": etag } }));
  assertEquals(none.status, 404);
});

Deno.test("a full disk is a 507, and the server goes on serving", async () => {
  const inner = memoryStore();
  let full = false;
  const store: Store = {
    ...inner,
    async stage(source, expected) {
      if (full) throw new CdnError("Cannot take in the body: no room", { source: "server", status: 507 });
      return await inner.stage(source, expected);
    },
  };
  await using server = await startTestServer({ store });
  await put(server, "/x", "kept");
  full = true;
  assertEquals((await put(server, "/y", "new")).status, 507);
  assertEquals(await read(server, "/x"), "kept");
  full = false;
  assertEquals((await put(server, "/y", "new")).status, 201);
});

Deno.test("objects outlive the process", async () => {
  await using first = await startTestServer({ id: "keeper" });
  await put(first, "/x", "kept");
  await put(first, "/y", "gone");
  await drained(first.fetch("/y", { method: "DELETE" }));
  await first.stop();
  await using second = await startTestServer({ id: "keeper", data: first.data });
  assertEquals(await read(second, "/x"), "kept");
  assertEquals((await drained(second.fetch("/y", { method: "HEAD" }))).status, 404);
});
