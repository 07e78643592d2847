/** Chunks as a client may get them wrong, over HTTP and in each form: refused for themselves, the upload goes on. */
import { assert, assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { formatDigestField, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { drained, rawRequest, startTestServer, type TestServer } from "../kit/mod.ts";

const CHUNK = 64 << 10;
const bytes = Uint8Array.from({ length: 3 * CHUNK + 5 }, (_, at) => (at * 31 + (at >> 8)) & 0xff);

/** One chunk as a request: its data, and the digest that it is said to have. */
type Form = (data: Uint8Array<ArrayBuffer>, digest?: string) => RequestInit;

const forms: Record<string, Form> = {
  raw: (data, digest = sha256(data)) => ({
    body: data,
    headers: { "content-type": "application/octet-stream", "content-digest": formatDigestField(digest) },
  }),
};
for (const codec of [jsonCodec, protobufCodec]) {
  forms[codec.encoding] = (data, digest = sha256(data)) => ({
    body: codec.encode(wire.ChunkSchema, create(wire.ChunkSchema, { data, sha256: digest })),
    headers: { "content-type": codec.mediaType },
  });
}

async function open(server: TestServer, path: string): Promise<string> {
  const answer = await server.fetch("/-/v1/uploads", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path, size: String(bytes.length) }),
  });
  assertEquals(answer.status, 201);
  return `/-/v1/uploads/${(await answer.json()).id}`;
}

for (const [name, form] of Object.entries(forms)) {
  Deno.test(`chunks that are wrong, too large or outside are refused, and any order is right (${name})`, async () => {
    await using server = await startTestServer({ limits: { chunkSize: CHUNK } });
    const session = await open(server, "/x");
    const put = async (offset: number | string, init: RequestInit) =>
      (await drained(server.fetch(`${session}/chunks/${offset}`, { method: "PUT", ...init }))).status;
    const part = (from: number, to: number) => bytes.slice(from, to);
    const received = async () => (await (await server.fetch(session)).json()).received;

    assertEquals(await put(0, form(part(0, 100), sha256(part(0, 99)))), 400, "of another digest");
    assertEquals(await put(0, form(part(0, 100), "0".repeat(64))), 400, "of no such digest");
    assertEquals(await put(0, form(part(0, CHUNK + 1))), 413, "larger than a chunk");
    assertEquals(await put(0, form(part(0, 0))), 400, "empty");
    assertEquals(await put(bytes.length, form(part(0, 1))), 400, "behind the end");
    assertEquals(await put(bytes.length - 1, form(part(0, 2))), 400, "over the end");
    for (const offset of ["-1", "1e3", "x", "9".repeat(16)]) assertEquals(await put(offset, form(part(0, 1))), 400);
    assertEquals(await received(), []);

    for (const at of [2, 0, 3, 1, 1]) {
      assertEquals(await put(at * CHUNK, form(part(at * CHUNK, (at + 1) * CHUNK))), 200, `chunk ${at}`);
    }
    const commit = (digest: string) =>
      drained(server.fetch(`${session}/commit`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ sha256: digest, size: String(bytes.length) }),
      }));
    assert([409, 422].includes((await commit("0".repeat(64))).status));
    assertEquals((await drained(server.fetch("/x", { method: "HEAD" }))).status, 404);
    for (const { start, end } of missingOf(await received())) {
      for (let at = start; at < end; at += CHUNK) await put(at, form(part(at, Math.min(end, at + CHUNK))));
    }
    assertEquals((await commit(sha256(bytes))).status, 200);
    assertEquals(await (await server.fetch("/x")).bytes(), bytes);
  });
}

Deno.test("a chunk that is cut short counts for nothing, however it is cut", async () => {
  await using server = await startTestServer({ limits: { chunkSize: CHUNK } });
  const session = await open(server, "/x");
  const data = bytes.slice(0, 1000);
  for (const [name, form] of Object.entries(forms)) {
    const { body, headers } = form(data) as { body: Uint8Array; headers: Record<string, string> };
    const text = Array.from(body, (byte) => String.fromCharCode(byte)).join("");
    const lines = Object.entries(headers).map(([field, value]) => `${field}: ${value}`);
    const head = (length: string) =>
      [`PUT ${session}/chunks/0 HTTP/1.1`, "host: 127.0.0.1", ...lines, length, "", ""].join("\r\n");
    const cut = text.slice(0, -100);
    const shortened = [
      head(`content-length: ${text.length}`) + cut,
      head("transfer-encoding: chunked") + `${text.length.toString(16)}\r\n${cut}`,
      head("transfer-encoding: chunked") + `${cut.length.toString(16)}\r\n${cut}\r\n`,
      // A body that ends where it said, but holds less than the chunk.
      head(`content-length: ${cut.length}`) + cut,
    ];
    for (const request of shortened) {
      const { status } = await rawRequest(server.port, request, { end: true });
      assert(status === 0 || status === 400, `${name}: ${status}`);
    }
  }
  assertEquals((await (await server.fetch(session)).json()).received, []);
});

/** What lies between the ranges received and the whole. */
function missingOf(received: { start?: string; end?: string }[]): { start: number; end: number }[] {
  const ends = [0, ...received.map(({ end }) => Number(end ?? 0))];
  const starts = [...received.map(({ start }) => Number(start ?? 0)), bytes.length];
  return starts.map((end, at) => ({ start: ends[at]!, end })).filter(({ start, end }) => start < end);
}
