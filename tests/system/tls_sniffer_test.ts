/** What somebody on the wire sees: with TLS nothing of a body, without it all. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { newCa, newServer } from "../certs/kit.ts";
import { eventually, tempDir } from "../kit/mod.ts";
import { has } from "./clients.ts";

const BODY = `a body that nobody else has: ${crypto.randomUUID()}`;

/** Records what goes over loopback to and from `port` while `meanwhile` runs, again and again until there is some. */
async function recorded(port: number, meanwhile: () => Promise<void>): Promise<string> {
  await using dir = await tempDir();
  const file = join(dir.path, "capture.pcap");
  const tshark = new Deno.Command("tshark", {
    args: ["-q", "-i", "lo", "-f", `tcp port ${port}`, "-F", "pcap", "-w", file],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const size = async () => (await Deno.stat(file)).size;
  try {
    const empty = await eventually(size, { what: "tshark's file" });
    await eventually(async () => {
      await meanwhile();
      return await size() > empty + 4000;
    }, { what: "packets in it", everyMs: 50, deadlineMs: 60_000 });
  } finally {
    tshark.kill("SIGINT");
    await tshark.status;
  }
  return new TextDecoder("latin1").decode(await Deno.readFile(file));
}

Deno.test({
  name: "a sniffer reads a body off plain HTTP, and not off TLS",
  ignore: !has("tshark") || Deno.build.os !== "linux" || Deno.uid() !== 0,
  async fn() {
    const ca = await newCa("test CA", Date.now());
    const pair = await newServer(ca, { nowMs: Date.now() });
    const seen: Record<string, boolean> = {};
    for (const tls of [null, { current: pair, onChange: () => () => {} }]) {
      const options = { log: silentLogger, token: null, tls };
      const server = listen({ hostname: "127.0.0.1", port: 0 }, () => new Response(BODY), options);
      try {
        const [scheme] = server.url.split(":", 1) as [string];
        const capture = await recorded(server.port, async () => {
          // A new connection each time, so that a handshake is among what is recorded; it names the host in the clear.
          using client = Deno.createHttpClient({ caCerts: [ca.certificate], http2: false });
          assertEquals(await (await fetch(`${scheme}://localhost:${server.port}/`, { client })).text(), BODY);
        });
        assert(capture.includes("localhost"), "packets were recorded");
        seen[scheme] = capture.includes(BODY);
      } finally {
        await server.close();
      }
    }
    assertEquals(seen, { http: true, https: false });
  },
});
