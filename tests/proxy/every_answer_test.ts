/** Metacdn-Route, Via and Server-Timing stand on every answer of a proxy, whatever kind of answer it is. */
import { assert, assertEquals } from "@std/assert";
import { type Dictionary, parseDictionary } from "structured-headers";
import { drained, startTestServer } from "../kit/mod.ts";
import { FakeServer as RawServer, type Peer } from "../kit/fake_server.ts";
import { fakeServer, measured, raw, testProxy, until } from "./kit.ts";

const token = "correct-horse-battery-staple";

/** An answer's head as the socket had it. */
interface Head {
  status: number;
  fields: Map<string, string>;
}

function headOf(answer: string): Head {
  const [first, ...lines] = answer.split("\r\n\r\n", 1)[0]!.split("\r\n");
  const fields = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  }));
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first!)?.[1]), fields };
}

/** The field, parsed as the structured field that it is; with the keys that it must have. */
function routeOf({ status, fields }: Head, what: string): Dictionary {
  assert(fields.has("metacdn-route"), `${what}: ${status} without Metacdn-Route`);
  const route = parseDictionary(fields.get("metacdn-route")!);
  assert(["network", "price", "combined"].includes(String(route.get("policy")?.[0])), what);
  assert(["fresh", "stale", "none"].includes(String(route.get("prices")?.[0])), what);
  assert(fields.get("via")?.includes("metacdn"), `${what}: ${status} without Via`);
  assert(fields.get("server-timing")?.includes("dur="), `${what}: ${status} without Server-Timing`);
  return route;
}

/** Sends one request and reads its answer. `lines` come after the Host. */
async function ask(port: number, line: string, lines: string[] = [], body = ""): Promise<Head> {
  const host = `Host: 127.0.0.1:${port}`;
  const own = lines.some((one) => /^host:/i.test(one)) ? [] : [host];
  const text = [`${line} HTTP/1.1`, ...own, ...lines, "Connection: close", "", body].join("\r\n");
  return headOf(await raw(port, text));
}

for (const workers of [1, 2]) {
  Deno.test(`answers of servers and of the proxy itself, errors too, say their route (${workers} worker(s))`, async () => {
    await using a = fakeServer("a");
    const settings = { names: ["cdn.example.com"], headTimeoutMs: 5000 };
    const secrets = { token, clusterKey: null };
    await using proxy = await testProxy([a], { settings, secrets, id: "me" }, { workers });
    await measured(proxy, 1);
    const { port } = proxy;
    const right = `Authorization: Bearer ${token}`;
    // A worker hears of the servers a little later than the one that measures.
    await until("it answers", async () => (await ask(port, "GET /x")).status === 200);

    const own: [status: number, line: string, lines?: string[], body?: string][] = [
      [200, "GET /-/healthz"],
      [200, "HEAD /-/healthz"],
      [200, "GET /-/readyz"],
      [200, "GET /-/explain?path=/x", [right]],
      [200, "GET /-/explain?path=/x", [right, "Accept: text/html"]],
      [200, "GET /-/explain?path=/x", [right, "Accept: application/protobuf"]],
      [400, "GET /-/explain?path=x", [right]],
      [401, "GET /-/explain?path=/x"],
      [404, "GET /-/v1/objects"],
      [404, "GET /-/v1/uploads"],
      [405, "POST /-/healthz", ["Content-Length: 0"]],
      [400, "GET /a/../b"],
      [400, "GET /a%2fb"],
      [400, "GET /%00"],
      [400, "GET /%ff"],
      [414, `GET /${"x".repeat(5000)}`],
      [401, "PUT /x", ["Content-Length: 1"], "1"],
      [401, "DELETE /x", ["Authorization: Bearer wrong"]],
      [403, "GET /x", ["Host: evil.example"]],
      [403, "GET http://evil.example/x"],
      [405, "CONNECT example.com:443"],
      [405, "PATCH /x"],
      [405, "TRACE /x"],
      [508, "GET /x", ["Via: 1.1 me"]],
    ];
    for (const [status, line, lines, body] of own) {
      const head = await ask(port, line, lines, body);
      assertEquals(head.status, status, line);
      assert(!routeOf(head, line).has("server"), `${line}: no server answered`);
    }

    const passed: [status: number, line: string, lines?: string[], body?: string][] = [
      [200, "GET /x"],
      [200, "HEAD /x"],
      [200, "GET /x", ["Host: cdn.example.com"]],
      [200, `GET ${a.url}/x`],
      [204, "PUT /x", [right, "Content-Length: 1"], "1"],
      [204, "DELETE /x", [right]],
    ];
    for (const [status, line, lines, body] of passed) {
      const head = await ask(port, line, lines, body);
      assertEquals(head.status, status, line);
      assertEquals(routeOf(head, line).get("server")?.[0], "a", line);
    }
    for (const status of [400, 401, 404, 410, 412, 416, 429, 500, 503, 507]) {
      a.status = status;
      const head = await ask(port, "GET /x");
      assertEquals(head.status, status);
      routeOf(head, `a server's ${status}`);
    }
  });
}

Deno.test("answers in the place of servers that fail say their route, and who failed", async () => {
  // Measured while it is well; then it does to content what `does` says.
  let does: (peer: Peer) => Promise<void> = async () => {};
  let list = "";
  await using a = new RawServer(async (peer) => {
    for (let head = await peer.head(); head !== null; head = await peer.head()) {
      if (head.startsWith("GET /-/v1/servers")) {
        await peer.send(
          `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${list.length}\r\n\r\n${list}`,
        );
      } else if (/^\w+ \/-\/v1\/peer\/probe/.test(head)) {
        const size = Number(/bytes=(\d+)/.exec(head)![1]);
        await peer.send(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`, new Uint8Array(size));
      } else if (/^\w+ \/-\//.test(head)) await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      else return await does(peer);
    }
  });
  list = JSON.stringify({
    servers: [{
      id: "a",
      url: a.url,
      provider: "local",
      region: "local",
      role: "origin",
      updated: { wallMs: "1", server: "a" },
    }],
  });
  const face = { url: a.url, others: [] };
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([face as any], { settings: { headTimeoutMs: 300, idleTimeoutMs: 300 } });
  const ready = async () => {
    await measured(proxy, 1);
    await until("it is not taken for down", () => proxy.view().servers[0]!.excluded === "");
  };

  await ready();
  does = () => Promise.resolve();
  const cut = await ask(proxy.port, "GET /cut");
  assertEquals(cut.status, 502);
  assertEquals(routeOf(cut, "a server that closes").get("server"), undefined);

  await ready();
  does = (peer) => peer.rest(() => false).then(() => {});
  const late = await ask(proxy.port, "GET /late");
  assertEquals(late.status, 504);
  routeOf(late, "a server that says nothing");

  await ready();
  const lie = 'metacdn-route: server="z", failed=("b")\r\n';
  does = (peer) => peer.send(`HTTP/1.1 200 OK\r\n${lie}connection: close\r\ncontent-length: 2\r\n\r\nok`);
  const text = await raw(
    proxy.port,
    `GET /lie HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port}\r\nConnection: close\r\n\r\n`,
  );
  assertEquals(text.match(/^metacdn-route: .*$/gmi)?.length, 1, text);
  assertEquals(routeOf(headOf(text), "a server that says a route").get("server")?.[0], "a");

  await ready();
  does = (peer) => peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx");
  const garbled = await ask(proxy.port, "GET /garbled");
  assertEquals(garbled.status, 502);
  routeOf(garbled, "a server that is not understood");
});

Deno.test("what a content server answers to ranges and conditions comes through, with its route", async () => {
  await using server = await startTestServer({ id: "a" });
  await drained(server.fetch("/x.txt", { method: "PUT", body: "0123456789" }));
  const face = { url: server.url, others: [] };
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([face as any]);
  await measured(proxy, 1);
  const etag = (await drained(server.fetch("/x.txt"))).headers.get("etag")!;
  const table: [status: number, lines: string[], path?: string][] = [
    [200, []],
    [206, ["Range: bytes=2-4"]],
    [206, ["Range: bytes=0-0,5-5"]],
    [206, ["Range: bytes=2-4", `If-Range: ${etag}`]],
    [200, ["Range: bytes=2-4", 'If-Range: "other"']],
    [416, ["Range: bytes=10-"]],
    [304, [`If-None-Match: ${etag}`]],
    [412, ['If-Match: "other"']],
    [404, [], "/none"],
  ];
  for (const [status, lines, path = "/x.txt"] of table) {
    const head = await ask(proxy.port, `GET ${path}`, lines);
    assertEquals(head.status, status, String(lines));
    assertEquals(routeOf(head, String(lines)).get("server")?.[0], "a");
    if (status === 206 || status === 304) assertEquals(head.fields.get("etag"), etag);
  }
});

Deno.test("where no server is known, the 503 says so with its route", async () => {
  const gone = fakeServer("gone");
  await gone[Symbol.asyncDispose]();
  await using proxy = await testProxy([gone]);
  for (const [line, status] of [["GET /x", 503], ["GET /-/readyz", 503], ["GET /-/healthz", 200]] as const) {
    const head = await ask(proxy.port, line);
    assertEquals(head.status, status);
    assertEquals(routeOf(head, line).has("server"), false);
  }
});
