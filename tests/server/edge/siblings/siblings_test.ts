import { assert, assertEquals, assertRejects } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { wire } from "../../../../proto/mod.ts";
import { bodyInit } from "../../../../runtime/http1/body_source.ts";
import { createRawTransport } from "../../../../runtime/http1/raw_transport.ts";
import { type HeaderLine, UpstreamError } from "../../../../runtime/http1/transport.ts";
import { silentLogger } from "../../../../runtime/log.ts";
import type { OriginRequest, OriginResponse } from "../../../../server/edge/origins/origins.ts";
import { Circuits } from "../../../../server/edge/siblings/circuit.ts";
import {
  liveEdges,
  ownerOf,
  type Sibling,
  SIBLING_FIELD,
  siblingTransport,
  withoutSiblings,
  withSiblings,
} from "../../../../server/edge/siblings/mod.ts";
import { FakeServer, latin1, type Peer } from "../../../kit/fake_server.ts";
import { deadUrls } from "../../../cli/fake_cluster.ts";

const never = new AbortController().signal;

/** An origin and a sibling on loopback, and an edge that asks them. */
class Scene implements AsyncDisposable {
  readonly asked: { who: string; head: string }[] = [];
  readonly origin: FakeServer;
  readonly sibling: FakeServer;
  readonly #origins = createRawTransport();
  readonly edge: ReturnType<typeof withSiblings>;
  nowMs = 1_000_000;
  edges: Sibling[];

  constructor(answers: { origin?: Answering; sibling?: Answering; siblingUrl?: string }) {
    this.origin = this.#serve("origin", answers.origin ?? ok("from the origin"));
    this.sibling = this.#serve("sibling", answers.sibling ?? ok("from the sibling"));
    this.edges = [{ id: "us", url: "http://127.0.0.1:1" }, {
      id: "other",
      url: answers.siblingUrl ?? this.sibling.url,
    }];
    const send = async (request: OriginRequest): Promise<OriginResponse> => ({
      ...await this.#origins.send({ ...request, origin: this.origin.url, headers: request.fields }),
      from: "origin",
    });
    this.edge = withSiblings({ send, states: () => [], close: () => this.#origins.close() }, {
      self: "us",
      edges: () => this.edges,
      transport: siblingTransport(),
      stamp: () => "us;log=l;head=0",
      settings: { headTimeoutMs: 300, backoff: { leastMs: 1000, mostMs: 8000 } },
      now: () => this.nowMs,
      random: () => 0.999,
      log: silentLogger,
    });
  }

  #serve(who: string, answering: Answering): FakeServer {
    return new FakeServer(async (peer) => {
      for (let head = await peer.head(); head !== null; head = await peer.head()) {
        this.asked.push({ who, head });
        if (await answering(peer, head) === "close") return;
      }
    });
  }

  /** Asks for a key that the other one owns, unless told. */
  async get(change: Partial<OriginRequest> = {}): Promise<string> {
    const request = {
      method: "GET",
      target: theirs,
      fields: [],
      body: null,
      bodyLength: null,
      signal: never,
      ...change,
    };
    const { status, body, from } = await this.edge.send(request);
    const text = body ? latin1(new Uint8Array(await new Response(bodyInit(body)).arrayBuffer())) : "";
    return `${status} ${from}: ${text}`;
  }

  /** Who was asked since the last time. */
  who(): string {
    return this.asked.splice(0).map(({ who }) => who).join();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.edge.close();
    await this.origin[Symbol.asyncDispose]();
    await this.sibling[Symbol.asyncDispose]();
  }
}

type Answering = (peer: Peer, head: string) => Promise<"close" | void>;

const ok = (text: string, ...fields: string[]): Answering => (peer) =>
  peer.send(["HTTP/1.1 200 OK", `Content-Length: ${text.length}`, ...fields, "", text].join("\r\n"));
const status = (code: number): Answering => (peer) =>
  peer.send(`HTTP/1.1 ${code} X\r\nContent-Length: 3\r\n\r\n${code}`);
const owned = (by: string) => {
  for (let at = 0;; at++) if (ownerOf(`/film-${at}?x`, ["us", "other"]) === by) return `/film-${at}?x`;
};
const [ours, theirs] = [owned("us"), owned("other")];

Deno.test("who owns the key is asked before the origin, marked, with all that the request says", async () => {
  await using scene = new Scene({});
  const fields: HeaderLine[] = [["accept-encoding", "br"], ["range", "bytes=3-"], ["if-range", '"x"']];
  assertEquals(await scene.get({ fields }), "200 other: from the sibling");
  const [{ who, head }] = scene.asked.splice(0) as [{ who: string; head: string }];
  assertEquals(who, "sibling");
  assert(head.startsWith(`GET ${theirs} HTTP/1.1\r\n`), head);
  for (const line of ["accept-encoding: br", "range: bytes=3-", 'if-range: "x"', `${SIBLING_FIELD}: us;log=l;head=0`]) {
    assert(head.includes(`\r\n${line}\r\n`), `${line} in ${head}`);
  }
  assertEquals(await scene.get({ target: ours }), "200 origin: from the origin");
  assertEquals(scene.who(), "origin");
  assertEquals(scene.edge.figures, { requests: 1, failures: 0, bytes: "from the sibling".length });
});

Deno.test("the origin is asked at once for what no shared cache may answer, and for a sibling; and never told of it", async () => {
  await using scene = new Scene({});
  const table: Partial<OriginRequest>[] = [
    { fields: [["authorization", "Basic x"]] },
    { fields: [["cache-control", "max-age=0, No-Store"]] },
    { fields: [["cache-control", "a"], ["cache-control", "no-store"]] },
    { fields: [[SIBLING_FIELD, "third;log=l;head=0"], ["accept", "*/*"]] },
    { fields: [[SIBLING_FIELD, "forged"]] },
    { method: "POST", body: ReadableStream.from([new Uint8Array(1)]), bodyLength: 1 },
    { method: "DELETE" },
  ];
  for (const change of table) {
    assertEquals(await scene.get(change), "200 origin: from the origin");
    assert(!scene.asked[0]!.head.includes(SIBLING_FIELD));
    assertEquals(scene.who(), "origin", JSON.stringify(change.fields));
  }
  for (const fields of [[["cache-control", "no-cache"]], [["cache-control", "x-no-store-x"]]] as HeaderLine[][]) {
    assertEquals(await scene.get({ fields }), "200 other: from the sibling");
  }
  scene.edges = [];
  assertEquals(await scene.get(), "200 origin: from the origin");
});

Deno.test("without siblings their mark reaches no origin either", async () => {
  const seen: OriginRequest[] = [];
  const origins = withoutSiblings({
    send(request) {
      seen.push(request);
      return Promise.reject(new Error("asked"));
    },
    states: () => [],
    close() {},
  });
  const request = { method: "GET", target: "/", body: null, bodyLength: null, signal: never };
  const accept: HeaderLine = ["accept", "*/*"];
  for (const fields of [[accept], [[SIBLING_FIELD, "x"], accept]] satisfies HeaderLine[][]) {
    await assertRejects(() => origins.send({ ...request, fields }), Error, "asked");
  }
  assertEquals(seen.map(({ fields }) => fields), [[accept], [accept]]);
});

Deno.test("what a sibling answers counts, unless it is a gateway's error", async () => {
  for (const code of [200, 404, 410, 500, 416]) {
    await using scene = new Scene({ sibling: status(code) });
    assertEquals(await scene.get(), `${code} other: ${code}`);
    assertEquals(scene.who(), "sibling");
  }
  for (const code of [502, 503, 504]) {
    await using scene = new Scene({ sibling: status(code) });
    assertEquals(await scene.get(), "200 origin: from the origin");
    assertEquals(await scene.get(), "200 origin: from the origin");
    assertEquals(scene.who(), "sibling,origin,origin", `${code}`);
    assertEquals(scene.edge.figures, { requests: 1, failures: 1, bytes: 0 });
  }
});

Deno.test("a lost sibling is left alone, longer each time, and asked again by one request", async () => {
  let mute = true;
  const hang: Answering = async (peer, head) => {
    if (!mute) return await ok("from the sibling")(peer, head);
    await peer.rest(() => false);
  };
  for (
    const answers of [{ siblingUrl: deadUrls(1)[0]! }, { sibling: hang }, {
      sibling: () => Promise.resolve("close" as const),
    }]
  ) {
    await using scene = new Scene(answers);
    for (const waitMs of [1000, 2000, 4000, 8000, 8000]) {
      for (let at = 0; at < 3; at++) assertEquals(await scene.get(), "200 origin: from the origin");
      if (!answers.siblingUrl) assertEquals(scene.asked.filter(({ who }) => who === "sibling").length, 1);
      assertEquals(scene.asked.splice(0).filter(({ who }) => who === "origin").length, 3);
      scene.nowMs += waitMs;
    }
  }
  await using scene = new Scene({ sibling: hang });
  await scene.get();
  mute = false;
  scene.nowMs += 1000;
  scene.who();
  assertEquals(await scene.get(), "200 other: from the sibling");
  assertEquals(await scene.get(), "200 other: from the sibling");
  assertEquals(scene.who(), "sibling,sibling");
});

Deno.test("a request that nobody waits for any more ends, and is nobody's fault", async () => {
  await using scene = new Scene({ sibling: async (peer) => void await peer.rest(() => false) });
  const gone = new AbortController();
  const asking = scene.get({ signal: gone.signal });
  gone.abort();
  const error = await assertRejects(() => asking, UpstreamError);
  assertEquals(error.kind, "aborted");
  await using well = FakeServer.answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell");
  scene.edges[1] = { id: "other", url: well.url };
  assertEquals(await scene.get(), "200 other: well");
});

/** An origin that knows ranges, with this text. */
const ranged = (text: string, etag = '"v1"'): Answering => async (peer, head) => {
  const [, first, last] = /\r\nrange: bytes=(\d+)-(\d*)\r\n/.exec(head) ?? [];
  const holds = new RegExp(`\r\nif-range: ${etag}\r\n`).test(head);
  if (first === undefined || !holds) return await ok(text, `ETag: ${etag}`)(peer, head);
  const end = last ? Number(last) : text.length - 1;
  const part = text.slice(Number(first), end + 1);
  await peer.send(
    `HTTP/1.1 206 X\r\nContent-Range: bytes ${first}-${end}/${text.length}\r\nETag: ${etag}\r\n` +
      `Content-Length: ${part.length}\r\n\r\n${part}`,
  );
};

Deno.test("a sibling that is lost in the middle of a body is nobody's loss: the origin sends the rest", async () => {
  const text = Array.from({ length: 3000 }, (_, at) => String.fromCharCode(97 + at % 26)).join("");
  await fc.assert(
    fc.asyncProperty(fc.nat(2999), fc.boolean(), fc.boolean(), async (sent, chunked, part) => {
      const [from, to] = part ? [100, 2500] : [0, 3000];
      const here = text.slice(from, to).slice(0, Math.min(sent, to - from - 1));
      const sibling: Answering = async (peer) => {
        const range = part ? `Content-Range: bytes 100-2499/3000\r\n` : "";
        const framing = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${to - from}`;
        const body = chunked && here.length > 0 ? `${here.length.toString(16)}\r\n${here}\r\n` : here;
        await peer.send(`HTTP/1.1 ${part ? 206 : 200} X\r\n${range}ETag: "v1"\r\n${framing}\r\n\r\n${body}`);
        return "close";
      };
      await using scene = new Scene({ sibling, origin: ranged(text) });
      const fields: HeaderLine[] = part ? [["range", "bytes=100-2499"]] : [["if-none-match", '"old"']];
      assertEquals(await scene.get({ fields }), `${part ? 206 : 200} other: ${text.slice(from, to)}`);
      assertEquals(scene.who(), "sibling,origin");
      await scene.get();
      assertEquals(scene.who(), "origin", "it is left alone");
    }),
    { numRuns: 40 },
  );
});

Deno.test("a body is never made of two: without a strong validator, or with another one, it breaks off", async () => {
  const cases: [tag: string, origin: Answering][] = [
    ['ETag: "v1"', ranged("x".repeat(100), '"v2"')],
    ['ETag: W/"v1"', ranged("x".repeat(100), 'W/"v1"')],
    ["X: y", ranged("x".repeat(100))],
    ['ETag: "v1"', status(503)],
    ['ETag: "v1"\r\nETag: "v1"', ranged("x".repeat(100))],
  ];
  for (const [tag, origin] of cases) {
    const sibling: Answering = async (peer) => {
      await peer.send(`HTTP/1.1 200 X\r\n${tag}\r\nContent-Length: 100\r\n\r\nxxxxx`);
      return "close";
    };
    await using scene = new Scene({ sibling, origin });
    await assertRejects(() => scene.get(), UpstreamError, "", tag);
  }
});

Deno.test("the edges that own keys are those that live; the list is not copied for each miss", () => {
  const server = (id: string, role: string, state: string, draining = false) =>
    create(wire.ServerSchema, { id, url: `http://${id}`, role, draining, health: { state } });
  let list = [
    server("us", "edge", "self"),
    server("b", "edge", "alive"),
    server("c", "edge", "suspect"),
    server("d", "edge", "dead"),
    server("e", "origin", "alive"),
    server("f", "edge", "alive", true),
  ];
  let [nowMs, looks] = [5000, 0];
  const edges = liveEdges(() => (looks++, list), { now: () => nowMs });
  assertEquals(edges(), [{ id: "us", url: "http://us" }, { id: "b", url: "http://b" }]);
  list = list.slice(0, 1);
  nowMs += 999;
  assertEquals([edges().length, looks], [2, 1]);
  nowMs += 1;
  assertEquals([edges().length, looks], [1, 2]);
  nowMs = 0; // the clock was put back
  assertEquals([edges().length, looks], [1, 3]);
});

Deno.test("a circuit lets one request find out whether it works again", () => {
  const circuits = new Circuits({ leastMs: 100, mostMs: 1000 });
  assert(circuits.allows("a", 0));
  circuits.failed("a", 0, () => 0);
  assertEquals([49, 50, 50].map((ms) => circuits.allows("a", ms)), [false, true, false]);
  circuits.undecided("a");
  assert(circuits.allows("a", 50));
  circuits.failed("a", 50, () => 1);
  assertEquals([249, 250].map((ms) => circuits.allows("a", ms)), [false, true]);
  circuits.succeeded("a");
  assert(circuits.allows("a", 250) && circuits.allows("a", 250));
});
