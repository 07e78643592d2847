/** Every program says whether it lives and whether it is ready, to anybody, also where a token is set. */
import { assert, assertEquals } from "@std/assert";
import { createPricing } from "../pricing/mod.ts";
import { serveProxy } from "../proxy/mod.ts";
import { listen } from "../runtime/listen.ts";
import { silentLogger as log } from "../runtime/log.ts";
import { drained, eventually, startTestServer } from "./kit/mod.ts";

const secrets = { token: "correct-horse-battery-staple", clusterKey: new TextEncoder().encode("a key of some length") };
const address = { hostname: "127.0.0.1", port: 0 };

Deno.test("all programs have /-/healthz and /-/readyz, for GET and HEAD, without a token", async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestServer({ secrets }));
  const pricing = stack.adopt(createPricing({ secrets }), (one) => one.close());
  const prices = listen(address, pricing.handler, { log, token: secrets.token });
  stack.defer(() => prices.close(1000));
  const settings = { servers: [server.url], pricing: [prices.url], probeIntervalMs: 50, listIntervalMs: 50 };
  const proxy = await serveProxy({ settings, secrets }, { address });
  stack.defer(() => proxy.close(1000));

  for (const [program, { url }] of Object.entries({ server, pricing: prices, proxy })) {
    for (const endpoint of ["healthz", "readyz"]) {
      await eventually(async () => (await drained(fetch(`${url}/-/${endpoint}`))).status === 200, {
        what: `${program} /-/${endpoint}`,
      });
      const answer = await fetch(`${url}/-/${endpoint}`, { method: "HEAD" });
      assertEquals([answer.status, await answer.text()], [200, ""], `HEAD ${program} /-/${endpoint}`);
      const post = await drained(fetch(`${url}/-/${endpoint}`, { method: "POST", body: "" }));
      assertEquals(post.status, 405, program);
      assert(post.headers.get("allow")?.includes("GET"), program);
    }
  }
});
