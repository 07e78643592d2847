/** Forwarding over TLS to servers of our own CA. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createRawTransport } from "../../../runtime/http1/raw_transport.ts";
import { type Transport, UpstreamError, type UpstreamRequest } from "../../../runtime/http1/transport.ts";
import { listen } from "../../../runtime/listen.ts";
import { LiveValue } from "../../../runtime/live.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { newCa, newServer, serve } from "../../certs/kit.ts";

const now = Date.now();
const ca = await newCa("test CA", now);

async function ask(transport: Transport, origin: string, body = ""): Promise<string> {
  const request: UpstreamRequest = {
    origin,
    method: body ? "PUT" : "GET",
    target: "/x",
    headers: [],
    body: body ? new Response(body).body : null,
    bodyLength: body ? body.length : null,
    signal: new AbortController().signal,
  };
  const answer = await transport.send(request);
  const buffer = new Uint8Array(1 << 16);
  let text = "";
  for (let read; answer.body && (read = await answer.body.read(buffer)) !== null;) {
    text += new TextDecoder().decode(buffer.subarray(0, read));
  }
  return text;
}

Deno.test("servers of our CA are asked, those of another and of another name are not; a new CA counts at once", async () => {
  const pair = await newServer(ca, { nowMs: now, names: ["127.0.0.1"] });
  await using server = serve(pair, async (request) => new Response(`${request.method} ${await request.text()}`));
  const another = await newCa("another", now);
  const trusted = new LiveValue<readonly string[]>([another.certificate]);
  const transport = createRawTransport({ ca: trusted });
  try {
    const refused = await assertRejects(() => ask(transport, server.url), UpstreamError);
    assertEquals(refused.kind, "connect");
    assertStringIncludes(refused.message, "UnknownIssuer");
    trusted.set([another.certificate, ca.certificate]);
    for (let round = 0; round < 3; round++) assertEquals(await ask(transport, server.url), "GET ");
    assertEquals(await ask(transport, server.url, "a body"), "PUT a body");
    const other = server.url.replace("127.0.0.1", "localhost");
    assertStringIncludes(
      (await assertRejects(() => ask(transport, other), UpstreamError)).message,
      "certificate not valid for name",
    );
  } finally {
    transport.close();
  }
});

Deno.test("with a CA nothing goes out in the clear, but to this machine", async () => {
  const server = listen({ hostname: "127.0.0.1", port: 0 }, () => new Response("plain"), {
    log: silentLogger,
    token: null,
  });
  const transport = createRawTransport({ ca: new LiveValue<readonly string[]>([ca.certificate]) });
  try {
    assertEquals(await ask(transport, server.url), "plain");
    for (const origin of ["http://192.0.2.1:80", "http://a.example", "http://[2001:db8::1]:8080"]) {
      const refused = await assertRejects(() => ask(transport, origin), UpstreamError);
      assertEquals(refused.kind, "connect");
      assertStringIncludes(refused.message, "over TLS alone");
    }
  } finally {
    transport.close();
    await server.close();
  }
});
