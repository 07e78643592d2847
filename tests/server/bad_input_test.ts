import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { memoryStore, type Store } from "../../server/store/mod.ts";
import { drained, eventually, rawRequest, startTestServer } from "../kit/mod.ts";

const request = (method: string, target: string, lines: string[] = [], body = "") =>
  [`${method} ${target} HTTP/1.1`, "host: 127.0.0.1", ...lines, "", body].join("\r\n");

Deno.test("paths that hide something are refused, as they were sent and not as they could be read", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const table: [target: string, status: number][] = [
    ["/a/../b", 400],
    ["/../../etc/passwd", 400],
    ["/a/%2e%2e/b", 400],
    ["/a/.%2E/b", 400],
    ["/%2e%2e%2fb", 400],
    ["/.", 400],
    ["/a/./b", 400],
    ["/a%2fb", 400],
    ["/a%2Fb", 400],
    ["/a%5cb", 400],
    ["/a\\b", 400],
    ["/a%00b", 400],
    ["/a%0d%0ab", 400],
    ["/a%7fb", 400],
    ["//a", 400],
    ["/a//b", 400],
    ["/a/", 400],
    ["/%ff%fe", 400],
    ["/%c3%28", 400],
    ["/%ed%a0%80", 400], // half a surrogate pair
    ["/%", 400],
    ["/%zz", 400],
    [`/${"x".repeat(5000)}`, 414],
    [`/${"x".repeat(1024)}`, 414],
    [`/${"%C3%A9".repeat(600)}`, 414],
    ["/%2d/uploads", 400], // the reserved prefix in disguise
    ["/-", 400],
    ["/-/../x", 404],
  ];
  for (const [target, status] of table) {
    for (const method of ["PUT", "GET", "HEAD", "DELETE"]) {
      const lines = method === "PUT" ? ["content-length: 3"] : [];
      const answer = await rawRequest(
        server.port,
        request(method, target, [...lines, "connection: close"], lines.length ? "abc" : ""),
      );
      assertEquals(answer.status, status, `${method} ${target.slice(0, 40)}`);
    }
    const described = await rawRequest(server.port, request("GET", `/-/v1/objects${target}`, ["connection: close"]));
    assert([400, 404, 414].includes(described.status), `metadata of ${target.slice(0, 40)}: ${described.status}`);
  }
  for (const [lines, target] of [[[], "/x\xff\xfe"], [["x: \x00"], "/x"], [["no colon"], "/x"]] as const) {
    const answer = await rawRequest(server.port, request("GET", target, [...lines, "connection: close"]));
    assert(answer.status === 0 || answer.status === 400, `${target} ${lines}: ${answer.status}`);
  }
  const list = await (await server.fetch("/-/v1/objects")).json();
  assertEquals(list.objects, []);
});

Deno.test("a method may be any word, also one that every object knows: 405", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  for (const method of ["constructor", "toString", "__proto__", "hasOwnProperty", "get", "PROPFIND"]) {
    for (const target of ["/", "/x", "/-/v1/servers"]) {
      const answer = await rawRequest(server.port, request(method, target, ["connection: close"]));
      assertEquals(answer.status, 405, `${method} ${target}`);
    }
  }
});

Deno.test("names that only look odd are names", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const body = new Uint8Array([1]);
  for (
    const target of ["/...", "/a..b", "/%F0%9F%90%B1", "/__proto__", "/%25", "/a:b@c", "/-x/y", `/${"x".repeat(1023)}`]
  ) {
    assertEquals((await drained(server.fetch(target, { method: "PUT", body }))).status, 201, target);
    const response = await server.fetch(target);
    assertEquals([response.status, (await response.bytes()).length], [200, 1], target);
  }
});

Deno.test("a body that ends early, or a client that goes away, leaves nothing behind", async () => {
  await using server = await startTestServer();
  const short = await rawRequest(server.port, request("PUT", "/x", ["content-length: 10"], "abc"), { end: true });
  assert(short.status === 0 || short.status === 400, String(short.status));
  const chunked = await rawRequest(server.port, request("PUT", "/x", ["transfer-encoding: chunked"], "3\r\nabc\r\n"), {
    end: true,
  });
  assert(chunked.status === 0 || chunked.status === 400, String(chunked.status));
  const garbled = await rawRequest(server.port, request("PUT", "/x", ["transfer-encoding: chunked"], "zz\r\nabc\r\n"), {
    end: true,
  });
  assert(garbled.status === 0 || garbled.status === 400, String(garbled.status));
  assertEquals((await drained(server.fetch("/x", { method: "HEAD" }))).status, 404);
});

Deno.test("what follows a body that is longer than it said is not taken for a request of its own kind", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const long = await rawRequest(
    server.port,
    request("PUT", "/x", ["content-length: 3", "connection: close"], "abcdef"),
  );
  assertEquals(long.status, 201);
  assertEquals(await (await server.fetch("/x")).text(), "abc");
  for (
    const lines of [
      ["content-length: -1"],
      ["content-length: 1e3"],
      ["content-length: 3", "content-length: 4"],
      ["content-length: 3", "transfer-encoding: chunked"],
      ["content-length: 99999999999999999999999"],
    ]
  ) {
    const answer = await rawRequest(server.port, request("PUT", "/y", [...lines, "connection: close"], "abc"), {
      end: true,
    });
    assert([0, 400, 413].includes(answer.status), `${lines}: ${answer.status}`);
    assertEquals((await drained(server.fetch("/y", { method: "HEAD" }))).status, 404);
  }
});

Deno.test("header floods are refused, and the server goes on", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const many = Array.from({ length: 5000 }, (_, at) => `x-${at}: y`);
  const large = [`x: ${"y".repeat(2_000_000)}`];
  for (const lines of [many, large]) {
    const answer = await rawRequest(server.port, request("GET", "/x", [...lines, "connection: close"]));
    assert([0, 400, 431].includes(answer.status), String(answer.status));
  }
  assertEquals((await drained(server.fetch("/-/healthz"))).status, 200);
});

Deno.test("a sender that pauses for too long is told so, and leaves nothing behind", async () => {
  await using server = await startTestServer({ limits: { idleMs: 100 } });
  const slow = [
    ["PUT", "/x", []],
    ["POST", "/-/v1/uploads", ["content-type: application/json"]],
    ["POST", "/-/v1/servers", ["content-type: application/json"]],
    ["POST", "/-/v1/peer/offers", ["content-type: application/json"]],
  ] as const;
  for (const [method, target, lines] of slow) {
    const answer = await rawRequest(server.port, request(method, target, [...lines, "content-length: 1000"], "{"));
    assertEquals(answer.status, 408, `${method} ${target}`);
  }
  assertEquals((await drained(server.fetch("/x", { method: "HEAD" }))).status, 404);
});

Deno.test("readers that leave in the middle: what they read from is closed", async () => {
  const inner = memoryStore();
  let open = 0;
  let opened = 0;
  /** Counts the streams that were neither read to the end nor cancelled. */
  const store: Store = {
    ...inner,
    async open(sha256, range) {
      const body = await inner.open(sha256, range);
      if (!body) return null;
      const reader = body.stream.getReader();
      open++;
      opened++;
      const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
        async pull(controller) {
          const { value, done } = await reader.read();
          if (!done) return controller.enqueue(value.slice());
          open--;
          controller.close();
        },
        async cancel() {
          open--;
          await reader.cancel();
        },
      });
      return { size: body.size, stream };
    },
  };
  await using server = await startTestServer({ store });
  const size = 20 << 20;
  assertEquals((await drained(server.fetch("/big", { method: "PUT", body: new Uint8Array(size) }))).status, 201);
  for (let count = 0; count < 20; count++) {
    const response = await server.fetch("/big", count % 2 ? { headers: { range: "bytes=1-,0-0" } } : {});
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
  }
  await eventually(() => open === 0, { what: "closing what readers left" });
  assert(opened >= 20);
  assertEquals((await (await server.fetch("/big")).bytes()).length, size);
});

Deno.test("CONNECT and TRACE are refused", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  for (
    const line of [
      request("CONNECT", "example.com:443", ["connection: close"]),
      request("TRACE", "/x", ["connection: close"]),
    ]
  ) {
    const { status, headers } = await rawRequest(server.port, line);
    assertEquals(status, 405);
    assertNotEquals(headers.allow, undefined);
  }
});
