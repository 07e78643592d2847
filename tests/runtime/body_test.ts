import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { CdnError, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { contentLength, readAll, readChunks } from "../../runtime/body.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A body of these chunks that then ends, breaks, or says nothing more. */
function body(chunks: Uint8Array[], then: "end" | "break" | "silence" = "end") {
  const seen = { cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = chunks.shift();
      if (next) controller.enqueue(next);
      else if (then === "end") controller.close();
      else if (then === "break") controller.error(new Error("connection reset"));
      else await new Promise(() => {});
    },
    cancel() {
      seen.cancelled = true;
    },
  }, { highWaterMark: 0 });
  return { headers: new Headers(), body: stream, seen };
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<number> {
  let total = 0;
  for await (const part of source) total += part.byteLength;
  return total;
}

Deno.test("a body is read whole, in one piece or many", async () => {
  assertEquals(await readAll(body([bytes("a"), bytes("bc")]), { limit: 3 }), bytes("abc"));
  assertEquals(await readAll(body([bytes("abc")]), { limit: 3 }), bytes("abc"));
  assertEquals(await readAll({ headers: new Headers(), body: null }, { limit: 3 }), new Uint8Array());
});

Deno.test("a body past the limit is a 413 that says it, and is read no further", async () => {
  const source = body([bytes("abc"), bytes("d")], "silence");
  const error = await assertRejects(() => readAll(source, { limit: 3 }), CdnError);
  assertEquals(error.status, 413);
  assertStringIncludes(error.message, "3 bytes");
  assertEquals(source.seen.cancelled, true);
});

Deno.test("a Content-Length past the limit is a 413 before a byte is read", async () => {
  const source = body([], "silence");
  source.headers.set("content-length", "4");
  assertEquals((await assertRejects(() => readAll(source, { limit: 3 }), CdnError)).status, 413);
  assertEquals(source.seen.cancelled, true);
});

Deno.test("a Content-Length is a whole number", () => {
  assertEquals(contentLength(new Headers()), null);
  assertEquals(contentLength(new Headers({ "content-length": "12" })), 12);
  for (const value of ["-1", "1.5", "1e3", "0x1", "", "9".repeat(16), "1, 1"]) {
    try {
      contentLength(new Headers({ "content-length": value }));
      assert(false, value);
    } catch (error) {
      assertEquals((error as CdnError).status, 400, value);
    }
  }
});

Deno.test("a sender that pauses is given up with a 408, and its body cancelled", async () => {
  const source = body([bytes("a")], "silence");
  const error = await assertRejects(() => readAll(source, { limit: 10, idleMs: 20 }), CdnError);
  assertEquals([error.status, error.retry, error.headers.connection], [408, true, "close"]);
  assertEquals(source.seen.cancelled, true);
});

Deno.test("a sender that is slow but does not pause is heard to the end", async () => {
  let left = 10;
  const slow = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 20)); // 200 ms in all, twice the idle time or so
      if (left-- > 0) controller.enqueue(bytes("x"));
      else controller.close();
    },
  });
  assertEquals((await readAll({ headers: new Headers(), body: slow }, { limit: 100, idleMs: 5000 })).length, 10);
});

Deno.test("a connection that breaks is a 400, and never a short body", async () => {
  const error = await assertRejects(() => readAll(body([bytes("a")], "break"), { limit: 10 }), CdnError);
  assertEquals([error.status, error.retry], [400, true]);
});

Deno.test("a reader that stops early lets the sender go", async () => {
  const source = body([bytes("a"), bytes("b")], "silence");
  for await (const _ of readChunks(source.body)) break;
  assertEquals(source.seen.cancelled, true);
  assertEquals(await collect(readChunks(null)), 0);
});

Deno.test("a message is read in either encoding and answered as the Accept asks", async () => {
  const question = create(wire.AddServerSchema, { url: "http://a:1" });
  for (const codec of [jsonCodec, protobufCodec]) {
    const request = new Request("http://h/", {
      method: "POST",
      headers: { "content-type": codec.mediaType, accept: codec.mediaType },
      body: codec.encode(wire.AddServerSchema, question),
    });
    assertEquals(await readMessage(request, wire.AddServerSchema), question);
    const answer = messageResponse(request, wire.AddServerSchema, question, {
      status: 201,
      headers: { location: "/x" },
    });
    assertEquals([answer.status, answer.headers.get("content-type"), answer.headers.get("vary")], [
      201,
      codec.mediaType,
      "accept",
    ]);
    assertEquals(answer.headers.get("location"), "/x");
    assertEquals(codec.decode(wire.AddServerSchema, new Uint8Array(await answer.arrayBuffer())), question);
  }
});

Deno.test("a message of a wrong type is a 415, a large one a 413, a malformed one a 400", async () => {
  const post = (type: string, content: string) =>
    new Request("http://h/", { method: "POST", headers: { "content-type": type }, body: content });
  const refused = async (request: Request, limit?: number) =>
    (await assertRejects(() => readMessage(request, wire.AddServerSchema, limit ? { limit } : {}), CdnError)).status;
  assertEquals(await refused(post("text/plain", "{}")), 415);
  assertEquals(await refused(post("application/json", '{"url":"http://a:1"}'), 5), 413);
  assertEquals(await refused(post("application/json", "{")), 400);
  assertEquals(await refused(post("application/json", "")), 400);
  assertEquals(await refused(post("application/protobuf", "\u0001")), 400);
  const head = messageResponse(
    new Request("http://h/", { method: "HEAD" }),
    wire.AddServerSchema,
    create(wire.AddServerSchema),
  );
  assertEquals(head.body, null);
});

Deno.test("a sender that drips a byte before each deadline is given up all the same", async () => {
  let sent = 0;
  let pause: ReturnType<typeof setTimeout> | undefined;
  const drip = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => pause = setTimeout(resolve, 20));
      sent++;
      controller.enqueue(bytes("x"));
    },
    cancel: () => clearTimeout(pause),
  }, { highWaterMark: 0 });
  const error = await assertRejects(() => collect(readChunks(drip, { idleMs: 100, leastRate: 100 })), CdnError);
  assertEquals(error.status, 408);
  assert(sent >= 2, "it was given up at its first byte");
});
