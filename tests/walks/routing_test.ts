/** The routing walk: measure -> window -> score (<- quote) -> pick -> answer, with real servers and real prices. */
import { assertEquals, assertMatch } from "@std/assert";
import { createPricing } from "../../pricing/mod.ts";
import { serveProxy } from "../../proxy/mod.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger as log } from "../../runtime/log.ts";
import { eventually, startTestServer } from "../kit/mod.ts";

const hour = 3_600_000;

Deno.test("routing: a price that rises sends the same request elsewhere, and the answer says so", async () => {
  await using stack = new AsyncDisposableStack();
  const a = stack.use(await startTestServer({ id: "a", provider: "aws", region: "us-east-1" }));
  const b = stack.use(
    await startTestServer({
      id: "b",
      provider: "azure",
      region: "westeurope",
      peers: [a.url],
      cluster: { pingMs: 50 },
    }),
  );
  const pricing = stack.adopt(createPricing(), (one) => one.close());
  const prices = listen({ hostname: "127.0.0.1", port: 0 }, pricing.handler, { log, token: null });
  stack.defer(() => prices.close(1000));
  const proxy = await serveProxy({
    settings: {
      servers: [a.url],
      pricing: [prices.url],
      policy: "price",
      listIntervalMs: 50,
      probeIntervalMs: 50,
      priceIntervalMs: 50,
      sampleIntervalMs: hour,
      usageIntervalMs: hour,
    },
  }, { address: { hostname: "127.0.0.1", port: 0 } });
  stack.defer(() => proxy.close(1000));

  await (await a.fetch("/photo.jpg", { method: "PUT", body: "a photograph" })).body?.cancel();
  await eventually(async () => (await fetch(`${b.url}/photo.jpg`, { method: "HEAD" })).ok, { what: "replication" });
  const route = async () => {
    const answer = await fetch(`${proxy.url}/photo.jpg`);
    assertEquals(await answer.text(), "a photograph");
    return answer.headers.get("metacdn-route") ?? "";
  };
  const price = async (provider: string, region: string, nanoPerUnit: string) => {
    const url = `${prices.url}/-/v1/prices/${provider}/${region}`;
    const sheet = await (await fetch(url)).json();
    const put = await fetch(url, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...sheet, freeBytes: "0", tiers: [{ nanoPerUnit }] }),
    });
    assertEquals(put.status < 300, true, await put.text());
  };
  const sentTo = (id: string) =>
    eventually(async () => (await route()).includes(`server="${id}"`), { what: `requests going to ${id}` });

  await price("aws", "us-east-1", "10000000");
  await price("azure", "westeurope", "20000000");
  await sentTo("a");
  await price("aws", "us-east-1", "30000000");
  await sentTo("b");
  assertMatch(await route(), /^server="b", policy=price, prices=fresh$/);
  const explained = await (await fetch(`${proxy.url}/-/explain?path=/photo.jpg`)).json();
  assertEquals([explained.chosen, explained.candidates[0].id], ["b", "b"]);
});
