/** Listening with TLS: who is answered, and how a certificate is replaced under those who ask. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { CdnError } from "../../proto/mod.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import type { TlsPair } from "../../runtime/tls_pair.ts";
import type { TlsSource } from "../../runtime/tls_source.ts";
import { eventually, rawRequest } from "../kit/mod.ts";
import { newCa, newServer } from "../certs/kit.ts";

const quiet = { log: silentLogger, token: null };
const here = { hostname: "127.0.0.1", port: 0 };
const [first, second] = [await newCa("first", Date.now()), await newCa("second", Date.now())];

/** A source that is told what to present. */
class Changing implements TlsSource {
  readonly listeners = new Set<(pair: TlsPair) => void>();
  constructor(public current: TlsPair) {}

  onChange(listener: (pair: TlsPair) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  change(pair: TlsPair): void {
    this.current = pair;
    for (const listener of this.listeners) listener(pair);
  }
}

const pairOf = async (ca = first, nowMs = Date.now()) => await newServer(ca, { nowMs });

/** A client of its own, so of new connections. */
function trusting(...cas: { certificate: string }[]): Deno.HttpClient {
  return Deno.createHttpClient({ caCerts: cas.map(({ certificate }) => certificate), http2: false });
}

async function ask(url: string, ...cas: { certificate: string }[]): Promise<string> {
  using client = trusting(...cas);
  return await (await fetch(url, { client })).text();
}

Deno.test("with TLS it answers whoever trusts the CA, errors as problems too, and says https", async () => {
  const server = listen(here, (request) => {
    if (request.url.endsWith("/bug")) throw new TypeError("a bug");
    return new Response(request.url);
  }, { ...quiet, tls: new Changing(await pairOf()) });
  try {
    assertMatch(server.url, /^https:\/\/127\.0\.0\.1:\d+$/);
    assertEquals(await ask(`${server.url}/x`, first), `${server.url}/x`);
    assertEquals(await ask(`https://localhost:${server.port}/`, first), `https://localhost:${server.port}/`);
    assertEquals(JSON.parse(await ask(`${server.url}/bug`, first)).status, 500);
    await assertRejects(() => ask(server.url, second), TypeError);
    await assertRejects(() => ask(`http://127.0.0.1:${server.port}/`, first), TypeError);
    assertEquals(
      (await rawRequest(server.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status,
      0,
      "nothing in the clear",
    );
    assertEquals((await rawRequest(server.port, "\x16\x03\x01\xff\xff" + "\0".repeat(2000))).status, 0);
    assertEquals(await ask(`${server.url}/x`, first), `${server.url}/x`, "what strangers sent harmed nobody");
  } finally {
    await server.close();
  }
});

Deno.test("small answers come whole with every kind of body, over HTTP/1.1 and HTTP/2", async () => {
  const bodies: Record<string, () => Response> = {
    text: () => new Response("small"),
    sized: () => new Response("small", { headers: { "content-length": "5", etag: '"x"' } }),
    empty: () => new Response(null, { status: 204 }),
    stream: () => new Response(ReadableStream.from([new Uint8Array(10), new Uint8Array(20)])),
    large: () => new Response(new Uint8Array(1 << 20)),
  };
  const server = listen(here, (request) => bodies[new URL(request.url).pathname.slice(1)]!(), {
    ...quiet,
    tls: new Changing(await pairOf()),
  });
  try {
    for (const http2 of [false, true]) {
      using client = Deno.createHttpClient({ caCerts: [first.certificate], http2, http1: !http2 });
      const size = async (name: string, method = "GET") =>
        (await (await fetch(`${server.url}/${name}`, { client, method })).bytes()).length;
      const sizes = [await size("text"), await size("sized"), await size("empty"), await size("stream")];
      assertEquals([...sizes, await size("large"), await size("text", "HEAD")], [5, 5, 0, 30, 1 << 20, 0]);
    }
  } finally {
    await server.close();
  }
});

Deno.test("an address in use is an error, although old and new certificate share it", async () => {
  const tls = new Changing(await pairOf());
  const one = listen(here, () => new Response(), { ...quiet, tls });
  try {
    for (const options of [{ ...quiet, tls }, quiet]) {
      const error = assertThrows(() => listen({ ...here, port: one.port }, () => new Response(), options), CdnError);
      assertStringIncludes(error.message, "the address is in use");
    }
  } finally {
    await one.close();
  }
});

Deno.test("a new certificate fails no request beyond one retry; new connections see it, answers under way end", async () => {
  const tls = new Changing(await pairOf(first));
  const gate = Promise.withResolvers<void>();
  const server = listen(here, (request) => {
    if (!request.url.endsWith("/long")) return new Response("short");
    return new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new Uint8Array(1000));
          await gate.promise;
          controller.enqueue(new Uint8Array(1000));
          controller.close();
        },
      }),
    );
  }, { ...quiet, tls });
  using client = trusting(first, second);
  let [asked, retried, failed] = [0, 0, 0];
  let hammering = true;
  // Most keep their connections; some make one for each request, which may wait in the queue of the old listener.
  const onOld = async () => await (await fetch(server.url, { client })).text();
  const onNew = () => ask(server.url, first, second);
  const done: number[] = [];
  const hammer = async (once: () => Promise<string>, which: number) => {
    for (done[which] = 0; hammering; done[which]++) {
      asked++;
      await once().catch(() => {
        retried++;
        return once().catch(() => failed++);
      });
    }
  };
  const hammers = [onOld, onOld, onOld, onOld, onOld, onOld, onNew, onNew].map(hammer);
  try {
    const long = await fetch(`${server.url}/long`, { client });
    await assertRejects(() => ask(server.url, second), TypeError);
    for (const ca of [first, second, first, second, first, second]) {
      // Each has been answered since the change before: its one retry is not for two of them.
      const until = done.map((count) => count + 3);
      await eventually(() => done.every((count, which) => count >= until[which]!), {
        what: "requests meanwhile",
        deadlineMs: 60_000,
      });
      tls.change(await pairOf(ca));
    }
    await eventually(async () => await ask(server.url, second) === "short", { what: "the new certificate" });
    await assertRejects(() => ask(server.url, first), TypeError);
    hammering = false;
    await Promise.all(hammers);
    assertEquals(failed, 0, `${retried} of ${asked} were asked twice`);
    gate.resolve();
    assertEquals((await long.bytes()).length, 2000);
  } finally {
    hammering = false;
    await Promise.all(hammers);
    await server.close();
  }
});

Deno.test("a certificate that TLS does not take is logged, and the one before goes on", async () => {
  const tls = new Changing(await pairOf());
  const errors: string[] = [];
  const log = { ...silentLogger, error: (message: string) => errors.push(message) };
  const server = listen(here, () => new Response("ok"), { log, token: null, tls });
  try {
    const { cert } = await pairOf();
    tls.change({ cert, key: "garbage" });
    assertEquals(errors, ["cannot listen with the new certificate; the one before stays"]);
    assertEquals(await ask(server.url, first), "ok");
    assertThrows(() => listen(here, () => new Response(), { ...quiet, tls }), CdnError, "Cannot listen on 127.0.0.1:0");
  } finally {
    await server.close();
  }
  assertEquals(tls.listeners.size, 0);
});

Deno.test("closing waits for answers of the old certificate too", async () => {
  const tls = new Changing(await pairOf());
  const [gate, entered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const server = listen(here, async () => {
    entered.resolve();
    await gate.promise;
    return new Response("done");
  }, { ...quiet, tls });
  const asked = ask(server.url, first);
  await entered.promise;
  tls.change(await pairOf());
  let closed = false;
  const closing = server.close(60_000).then(() => closed = true);
  await eventually(() => ask(server.url, first).then(() => false, () => true), { what: "nothing listening any more" });
  assert(!closed);
  gate.resolve();
  assertEquals(await asked, "done");
  await closing;
});

Deno.test("the wrong host, an expired certificate, and one of the future are refused by clients", async () => {
  const day = 86_400_000;
  const wrong: [TlsPair, string][] = [
    [await newServer(first, { nowMs: Date.now(), names: ["elsewhere.example"] }), "certificate not valid for name"],
    [await newServer(first, { nowMs: Date.now() - 91 * day }), "certificate expired"],
    [await newServer(first, { nowMs: Date.now() + day }), "certificate not valid yet"],
  ];
  for (const [pair, why] of wrong) {
    const server = listen(here, () => new Response("secret"), { ...quiet, tls: new Changing(pair) });
    try {
      const error = await assertRejects(() => ask(server.url, first), TypeError);
      assertStringIncludes(String(error.cause ?? error), why);
    } finally {
      await server.close();
    }
  }
});
