/** Small servers that pose as content and pricing servers, and what the proxy's tests share. */
import { create } from "@bufbuild/protobuf";
import { codecForAnswer, codecForBody, wire } from "../../proto/mod.ts";
import { type ProxyOptions, serveProxy, type ServingProxy } from "../../proxy/mod.ts";

/** What a fake content server does; may be changed while it runs. */
export interface FakeServer extends AsyncDisposable {
  id: string;
  url: string;
  /** Waits so long before each answer. */
  delayMs: number;
  /** Sends bodies no faster; Infinity: at once. */
  bytesPerSecond: number;
  /** Answers content with this status. */
  status: number;
  /** Who else is on its list. */
  others: FakeServer[];
  /** Content requests that came, as `METHOD target`. */
  readonly seen: string[];
  /** Their headers. */
  readonly headers: Headers[];
  provider: string;
}

/** A content server that has a body of `size` bytes at every path. */
export function fakeServer(id: string, { size = 1000, delayMs = 0, port = 0 } = {}): FakeServer {
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, async (request) => {
    const url = new URL(request.url);
    if (url.pathname === "/-/v1/servers") return answer(request, wire.ServerListSchema, list(fake));
    if (fake.delayMs) await new Promise((resolve) => setTimeout(resolve, fake.delayMs));
    if (url.pathname === "/-/healthz") return new Response("ok");
    if (url.pathname === "/-/v1/peer/probe") return body(fake, Number(url.searchParams.get("bytes")));
    fake.seen.push(`${request.method} ${url.pathname}${url.search}`);
    fake.headers.push(request.headers);
    await request.body?.cancel();
    if (fake.status !== 200) return new Response("fault", { status: fake.status });
    return request.method === "GET" || request.method === "HEAD"
      ? body(fake, size, request.method === "HEAD")
      : new Response(null, { status: 204 });
  });
  const fake: FakeServer = {
    id,
    url: `http://127.0.0.1:${server.addr.port}`,
    delayMs,
    bytesPerSecond: Infinity,
    status: 200,
    others: [],
    seen: [],
    headers: [],
    provider: id,
    [Symbol.asyncDispose]: async () => {
      await server.shutdown().catch(() => {});
    },
  };
  return fake;
}

function list(fake: FakeServer): wire.ServerList {
  return create(wire.ServerListSchema, {
    servers: [fake, ...fake.others].map(({ id, url, provider }) => ({
      id,
      url,
      provider,
      region: "test",
      role: "origin",
      updated: { wallMs: 1n, counter: 0, server: id },
    })),
  });
}

function body({ id, bytesPerSecond }: FakeServer, size: number, head = false): Response {
  const headers = { "content-type": "text/plain", "content-length": String(size), "x-server": id };
  if (head) return new Response(null, { headers });
  if (bytesPerSecond === Infinity) return new Response(new Uint8Array(size), { headers });
  let left = size;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Response(
    new ReadableStream({
      async pull(controller) {
        const some = Math.min(left, Math.max(1, Math.round(bytesPerSecond / 50)));
        await new Promise((resolve) => timer = setTimeout(resolve, 1000 * some / bytesPerSecond));
        controller.enqueue(new Uint8Array(some));
        if ((left -= some) === 0) controller.close();
      },
      // Whoever goes away in the middle leaves no timer behind.
      cancel: () => clearTimeout(timer),
    }),
    { headers },
  );
}

/** A pricing server; prices are nano-dollars a GB by provider. */
export interface FakePricing extends AsyncDisposable {
  url: string;
  prices: Record<string, number>;
  untilChange: bigint | undefined;
  readonly reports: wire.UsageReport[];
  asked: number;
}

/** Starts one. */
export function fakePricing(prices: Record<string, number>, { port = 0 } = {}): FakePricing {
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, async (request) => {
    const codec = codecForBody(request.headers.get("content-type"));
    const bytes = await request.bytes();
    if (request.url.endsWith("/-/v1/usage")) {
      fake.reports.push(codec.decode(wire.UsageReportSchema, bytes));
      return new Response(null, { status: 204 });
    }
    fake.asked++;
    const { places } = codec.decode(wire.QuoteRequestSchema, bytes);
    return answer(
      request,
      wire.QuoteAnswerSchema,
      create(wire.QuoteAnswerSchema, {
        month: "2026-11",
        quotes: places.map((place) => {
          const price = fake.prices[place.provider];
          return price === undefined ? { place, error: "no sheet" } : {
            place,
            egressNanoPerGb: BigInt(price),
            confidence: wire.Confidence.HIGH,
            ...(fake.untilChange === undefined ? {} : { bytesUntilChange: fake.untilChange }),
          };
        }),
      }),
    );
  });
  const fake: FakePricing = {
    url: `http://127.0.0.1:${server.addr.port}`,
    prices,
    untilChange: undefined,
    reports: [],
    asked: 0,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return fake;
}

function answer(request: Request, schema: typeof wire.ServerListSchema, message: wire.ServerList): Response;
function answer(request: Request, schema: typeof wire.QuoteAnswerSchema, message: wire.QuoteAnswer): Response;
// deno-lint-ignore no-explicit-any
function answer(request: Request, schema: any, message: any): Response {
  const codec = codecForAnswer(request.headers.get("accept"));
  return new Response(codec.encode(schema, message), { headers: { "content-type": codec.mediaType } });
}

/** A proxy over these servers that measures often. It is closed by `await using`. */
export async function testProxy(
  servers: FakeServer[],
  options: ProxyOptions = {},
  { workers = 1, pricing = [] as FakePricing[] } = {},
): Promise<ServingProxy & AsyncDisposable> {
  servers[0]!.others = servers.slice(1);
  const serving = await serveProxy({
    ...options,
    settings: {
      servers: [servers[0]!.url],
      pricing: pricing.map(({ url }) => url),
      probeIntervalMs: 40,
      sampleIntervalMs: 400,
      priceIntervalMs: 40,
      listIntervalMs: 60,
      usageIntervalMs: 100,
      publishIntervalMs: 10,
      ...options.settings,
    },
  }, { address: { hostname: "127.0.0.1", port: 0 }, workers });
  return Object.assign(serving, { [Symbol.asyncDispose]: () => serving.close(500) });
}

/** Waits until something is so. */
export async function until<T>(what: string, probe: () => T | Promise<T>): Promise<NonNullable<T>> {
  const end = Date.now() + 20_000;
  while (true) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** Waits until so many servers are measured, and are priced where `prices` says so. */
export async function measured(proxy: ServingProxy, count: number, prices = "none"): Promise<void> {
  await until(`${count} servers are measured`, () => {
    const view = proxy.view();
    return view.prices === prices && view.servers.filter(({ confidence }) => confidence > 0.3).length === count;
  });
}

/** Sends bytes, and reads until the other side closes. */
export async function raw(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  let all = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65536);
  for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
    all += decoder.decode(buffer.subarray(0, n), { stream: true });
  }
  return all;
}
