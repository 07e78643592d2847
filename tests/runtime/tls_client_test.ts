/** Calls that trust our CA. */
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { CdnError } from "../../proto/mod.ts";
import { listen } from "../../runtime/listen.ts";
import { type LogFields, silentLogger } from "../../runtime/log.ts";
import { PeerClient } from "../../runtime/peer_client.ts";
import { openTlsClient } from "../../runtime/tls_client.ts";
import { der, newCa, newServer, serve } from "../certs/kit.ts";
import { tempDir } from "../kit/mod.ts";

const [first, second] = [await newCa("first", Date.now()), await newCa("second", Date.now())];

async function startTls(handler: (request: Request) => Response, ca = first) {
  return serve(await newServer(ca, { nowMs: Date.now() }), handler);
}

Deno.test("our CA's servers are asked, others are not; a new CA file is heard of", async () => {
  await using dir = await tempDir();
  const caFile = join(dir.path, "ca.pem");
  Deno.writeTextFileSync(caFile, first.certificate);
  const errors: string[] = [];
  const log = { ...silentLogger, error: (_: string, fields: LogFields = {}) => errors.push(String(fields.error)) };
  using client = openTlsClient(caFile, { log });
  const gate = Promise.withResolvers<void>();
  const ours = await startTls((request) => {
    if (!request.url.endsWith("/long")) return new Response("ours");
    return new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new Uint8Array(10));
          await gate.promise;
          controller.close();
        },
      }),
    );
  });
  const theirs = await startTls(() => new Response("theirs"), second);
  const text = async (url: string) => await (await client.fetch(url)).text();
  try {
    assertEquals(await text(ours.url), "ours");
    const error = await assertRejects(() => text(theirs.url), TypeError);
    assertStringIncludes(String(error.cause ?? error), "UnknownIssuer");

    Deno.writeTextFileSync(caFile, "garbage");
    client.check();
    assertStringIncludes(errors.pop()!, "no certificate in PEM");
    assertEquals(await text(ours.url), "ours");

    const long = await client.fetch(`${ours.url}/long`);
    Deno.writeTextFileSync(caFile, second.certificate);
    client.check();
    assertEquals(client.ca, [der(second.certificate)]);
    assertEquals(await text(theirs.url), "theirs");
    await assertRejects(() => text(ours.url), TypeError);
    gate.resolve();
    assertEquals((await long.bytes()).length, 10, "what was under way ended well");
  } finally {
    gate.resolve();
    await ours.close();
    await theirs.close();
  }
});

Deno.test("nothing is sent in the clear: http is refused, and redirects are not followed", async () => {
  await using dir = await tempDir();
  const caFile = join(dir.path, "ca.pem");
  Deno.writeTextFileSync(caFile, first.certificate);
  using client = openTlsClient(caFile, { log: silentLogger });
  let heard = 0;
  const plain = listen({ hostname: "127.0.0.1", port: 0 }, () => {
    heard++;
    return new Response("plain");
  }, { log: silentLogger, token: null });
  const server = await startTls(() => Response.redirect(plain.url, 307));
  try {
    const asked = [plain.url, new URL(plain.url), new Request(plain.url), plain.url.replace("http", "HTTP"), "/x"];
    for (const input of asked) {
      await assertRejects(async () => await client.fetch(input), CdnError, "must be an https:// URL");
    }
    await assertRejects(async () => await client.fetch(server.url), TypeError);
    await assertRejects(async () => await client.fetch(server.url, { redirect: "follow" }), TypeError);
    const manual = await client.fetch(server.url, { redirect: "manual" });
    await manual.body?.cancel();
    assertEquals([manual.status, heard], [307, 0]);
    const peers = new PeerClient({ fetch: client.fetch });
    await assertRejects(() => peers.send({ url: plain.url }), CdnError, "must be an https:// URL");
  } finally {
    await server.close();
    await plain.close();
  }
});

Deno.test("a CA file that is missing or of no use is refused at the start", async () => {
  await using dir = await tempDir();
  const caFile = join(dir.path, "ca.pem");
  assertThrows(() => openTlsClient(caFile, { log: silentLogger }), CdnError, `Cannot read ${caFile}`);
  Deno.writeTextFileSync(caFile, (await newServer(first)).cert);
  assertThrows(() => openTlsClient(caFile, { log: silentLogger }), CdnError, "it is the certificate of no CA");
});

Deno.test({
  name: "public CAs are believed beside ours, except with DENO_TLS_CA_STORE= at the program's start",
  ignore: Deno.build.os !== "linux", // where the system's CAs can be put in place by SSL_CERT_FILE
  async fn() {
    await using dir = await tempDir();
    const [caFile, publicFile] = [join(dir.path, "ca.pem"), join(dir.path, "public.pem")];
    Deno.writeTextFileSync(caFile, first.certificate);
    Deno.writeTextFileSync(publicFile, second.certificate);
    const [ours, theirs] = [await startTls(() => new Response("ours")), await startTls(() => new Response(), second)];
    const module = new URL("../../runtime/tls_client.ts", import.meta.url).href;
    const code = `import { openTlsClient } from ${JSON.stringify(module)};
      using client = openTlsClient(${JSON.stringify(caFile)}, { log: console });
      const asked = ${
      JSON.stringify([ours.url, theirs.url])
    }.map((url) => client.fetch(url).then((r) => r.body?.cancel()));
      console.log((await Promise.allSettled(asked)).map(({ status }) => status).join());`;
    const run = async (store: string) => {
      const args = ["eval", "--quiet", "--config", new URL("../../deno.json", import.meta.url).pathname, code];
      const env = { DENO_TLS_CA_STORE: store, SSL_CERT_FILE: publicFile };
      const { stdout } = await new Deno.Command(Deno.execPath(), { args, env, stdin: "null" }).output();
      return new TextDecoder().decode(stdout).trim();
    };
    try {
      assertEquals(await run("system"), "fulfilled,fulfilled");
      assertEquals(await run(""), "fulfilled,rejected");
    } finally {
      await ours.close();
      await theirs.close();
    }
  },
});
