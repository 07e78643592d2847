/** Origins over TLS: who is believed. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CdnError } from "../../../../proto/mod.ts";
import { LiveValue } from "../../../../runtime/live.ts";
import { newCa, newServer, serve } from "../../../certs/kit.ts";
import { FakeServer } from "../../../kit/fake_server.ts";
import { answer, ask, Clock, middle, origins, request } from "./kit.ts";

Deno.test("an origin is believed by its certificate alone; a CA that is replaced counts at once", async () => {
  const nowMs = Date.now();
  const ca = await newCa("origins", nowMs);
  const another = await newCa("another", nowMs);
  const pair = await newServer(ca, { nowMs, names: ["127.0.0.1"] });
  await using origin = serve(pair, (request) => new Response(new URL(request.url).pathname));
  await using plain = FakeServer.answering(answer(200, "plain"));

  using unknown = origins({ urls: [origin.url], ...new Clock(), random: middle });
  const trusted = new LiveValue<readonly string[]>([another.certificate]);
  using known = origins({ urls: [origin.url, plain.url], ca: trusted, ...new Clock(), random: middle });
  const byName = origin.url.replace("127.0.0.1", "localhost");
  const both = new LiveValue<readonly string[]>([ca.certificate]);
  using misnamed = origins({ urls: [byName], ca: both, ...new Clock(), random: middle });

  for (const [asked, why] of [[unknown, "UnknownIssuer"], [misnamed, "not valid for name"]] as const) {
    const error = await assertRejects(() => asked.send(request()), CdnError, "it cannot be reached");
    assertEquals(error.status, 502);
    assertStringIncludes((error.cause as Error).message, why);
  }
  assertEquals(await ask(known), "200 plain");
  trusted.set([ca.certificate]);
  assertEquals(await ask(known), "200 /x");
});
