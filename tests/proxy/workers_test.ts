/** Several isolates on one port. */
import { assert, assertEquals } from "@std/assert";
import { serveProxy } from "../../proxy/mod.ts";
import { CdnError } from "../../proto/mod.ts";
import type { FromWorker, ToWorker } from "../../proxy/messages.ts";
import { LiveValue } from "../../runtime/live.ts";
import type { TlsPair } from "../../runtime/tls_pair.ts";
import { fakePricing, fakeServer, measured, testProxy, until } from "./kit.ts";

/** A request over a connection of its own, so that the kernel picks a worker anew. */
async function get(url: string) {
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    const response = await fetch(url, { client });
    await response.body?.cancel();
    return response;
  } finally {
    client.close();
  }
}

Deno.test("two workers on one port decide alike, by shared measurements, sizes and prices", async () => {
  await using a = fakeServer("a", { size: 30_000 });
  await using b = fakeServer("b", { size: 30_000 });
  await using pricing = fakePricing({ a: 50, b: 90 });
  await using proxy = await testProxy([a, b], { settings: { policy: "price" } }, { workers: 2, pricing: [pricing] });
  assert(proxy.port > 0);
  await measured(proxy, 2, "fresh");
  const servers = async (count: number) => [
    ...new Set(
      await Promise.all(Array.from({ length: count }, async () => {
        return (await get(`${proxy.url}/x`)).headers.get("metacdn-route");
      })),
    ),
  ];
  await until("all know the prices", async () => (await servers(12)).every((route) => route?.includes("fresh")));
  assertEquals(await servers(12), ['server="a", policy=price, prices=fresh']);
  // What one worker learned of a size, all tell.
  await until("all know the size", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, async () => {
      return (await (await fetch(`${proxy.url}/-/explain?path=/x`, { headers: { connection: "close" } })).json())
        .sizeFrom;
    }));
    return all.every((from) => from === "known");
  });
  // Transfers of the workers reach the main isolate: they are counted as usage.
  const sent = a.seen.length * 30_000;
  await until("usage is reported", () => {
    const count = pricing.reports.at(-1)?.counts.find(({ place }) => place?.server === "a");
    return Number(count?.bytes ?? 0) >= sent;
  });
  pricing.prices.a = 200;
  await until("all go to b", async () => (await servers(12)).every((route) => route?.startsWith('server="b"')));
});

Deno.test("a worker that dies is started again, and it is logged", async () => {
  await using a = fakeServer("a");
  const lines: string[] = [];
  const note = (message: string) => void lines.push(message);
  const log = { debug: note, info: note, warn: note, error: note };
  const spawned: Worker[] = [];
  const dying = `
    import ${JSON.stringify(new URL("../../proxy/worker.ts", import.meta.url).href)};
    addEventListener("message", ({ data }) => { if (data.kind === "die") setTimeout(() => { throw new Error("on demand"); }); });
  `;
  const proxy = await serveProxy({ log, settings: { servers: [a.url], pricing: [], probeIntervalMs: 50 } }, {
    address: { hostname: "127.0.0.1", port: 0 },
    workers: 2,
    spawn() {
      const worker = new Worker(`data:application/javascript,${encodeURIComponent(dying)}`, { type: "module" });
      spawned.push(worker);
      return worker;
    },
  });
  try {
    await measured(proxy, 1);
    spawned[0]!.postMessage({ kind: "die" });
    await until("a new one is there", () => lines.includes("a worker was started again"));
    assert(lines.includes("a worker died"), lines.join());
    assertEquals(spawned.length, 3);
    for (let n = 0; n < 8; n++) {
      await until("it answers", async () => (await get(`${proxy.url}/x`)).headers.get("x-server") === "a");
    }
  } finally {
    await proxy.close(500);
  }
});

Deno.test("an address that is taken is told, also by workers", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const workers of [1, 2]) {
    try {
      await serveProxy({}, { address: { hostname: "127.0.0.1", port: (taken.addr as Deno.NetAddr).port }, workers });
      throw new Error("it listens");
    } catch (error) {
      assert(error instanceof CdnError && error.message.includes("Cannot listen"), String(error));
    }
  }
});

Deno.test("workers are sent the certificate that changed, and not the other one with it", async () => {
  await using a = fakeServer("a");
  const sent: ToWorker[] = [];
  const spawn = () => {
    const worker = {
      onmessage: null as ((event: { data: FromWorker }) => void) | null,
      postMessage(message: ToWorker) {
        if (message.kind === "tls") sent.push(message);
        if (message.kind === "start") {
          queueMicrotask(() => worker.onmessage?.({ data: { kind: "listening", port: 1 } }));
        }
        if (message.kind === "stop") queueMicrotask(() => worker.onmessage?.({ data: { kind: "stopped" } }));
      },
      terminate() {},
    };
    return worker as unknown as Worker;
  };
  const ca = new LiveValue<readonly string[]>(["old"]);
  const viewers = new LiveValue<TlsPair>({ cert: "old", key: "old" });
  const proxy = await serveProxy({ settings: { servers: [a.url], pricing: [] }, tls: { ca, viewers } }, {
    address: { hostname: "127.0.0.1", port: 0 },
    workers: 2,
    spawn,
  });
  try {
    ca.set(["new"]);
    assertEquals(sent.splice(0), [1, 2].map(() => ({ kind: "tls", tls: { ca: ["new"] } })));
    viewers.set({ cert: "new", key: "new" });
    assertEquals(sent, [1, 2].map(() => ({ kind: "tls", tls: { viewers: { cert: "new", key: "new" } } })));
  } finally {
    await proxy.close(500);
  }
});
