/** A cluster that talks TLS, as real processes: what it does, and what somebody on the wire sees of it. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { runToEnd } from "../cli/program.ts";
import { eventually } from "../kit/mod.ts";
import { has } from "./clients.ts";
import { canSniff, Sniffer } from "./sniffer.ts";
import { alive, CLUSTER_KEY, type Server, TlsCluster, TOKEN } from "./tls_cluster.ts";

const IDS = ["ursa", "lyra", "vela"];

/** Three servers that know each other. */
async function three(cluster: TlsCluster, options: { tls: boolean; env?: Record<string, string> }): Promise<Server[]> {
  const first = await cluster.server(IDS[0]!, options);
  const others = await Promise.all(
    IDS.slice(1).map((id) => cluster.server(id, { ...options, args: ["--peers", first.url] })),
  );
  const servers = [first, ...others];
  for (const { id, url } of servers) {
    await eventually(async () => alive(await cluster.list(url)).length === 2, {
      what: `${id} seeing both others`,
      deadlineMs: 60_000,
    });
  }
  return servers;
}

const body = `what nobody else has: ${crypto.randomUUID()}\n`.repeat(20);
const path = `/kept/${crypto.randomUUID()}.txt`;

async function uploadAndRead(cluster: TlsCluster, servers: Server[], ca: string[]): Promise<void> {
  const file = join(cluster.folder, "file.txt");
  await Deno.writeTextFile(file, body);
  const { code, stderr } = await runToEnd("upload", ["--server", servers[0]!.url, ...ca, "--as", path, file], {
    env: { METACDN_TOKEN: TOKEN },
  });
  assertEquals(code, 0, stderr);
  for (const { url, id } of servers) {
    await eventually(async () => await cluster.curl(url + path) === body, {
      what: `the object at ${id}`,
      deadlineMs: 60_000,
    });
  }
}

Deno.test({
  name: "three servers with certificates and a token, and no cluster key: what one takes, curl reads from all",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(IDS);
    const servers = await three(cluster, { tls: true });
    await uploadAndRead(cluster, servers, ["--ca", cluster.ca]);
    for (const { url } of servers) {
      for (const { id, certificate } of await cluster.list(url)) {
        const pem = await Deno.readTextFile(join(cluster.certs, `${id}.pem`));
        assert(pem.replaceAll(/\s/g, "").includes(certificate!), `the certificate of ${id} is on the list`);
      }
    }
  },
});

Deno.test({
  name: "a sniffer reads uploads, replication and heartbeats off a plain cluster, and nothing off one with TLS",
  ignore: !(has("curl") && canSniff()),
  async fn() {
    const wanted = {
      "the body": body.slice(0, 50),
      "the path": path,
      "the token": TOKEN,
      "an id": `"${IDS[1]}"`,
      "a heartbeat": "/-/v1/peer/ping",
      "an offer": "/-/v1/peer/offers",
      "a signature": "metacdn-server=",
    };
    const seen: Record<string, string[]> = {};
    for (const tls of [false, true]) {
      await using cluster = await TlsCluster.start(tls ? IDS : []);
      const servers = await three(cluster, { tls, env: { METACDN_CLUSTER_KEY: CLUSTER_KEY } });
      const urls = servers.map(({ url }) => url);
      await using sniffer = await Sniffer.start(join(cluster.folder, "capture.pcap"), urls);
      await uploadAndRead(cluster, servers, tls ? ["--ca", cluster.ca] : []);
      await sniffer.more(20_000);
      const capture = await sniffer.stop();
      seen[tls ? "tls" : "plain"] = Object.entries(wanted).flatMap(([what, text]) =>
        capture.includes(text) ? what : []
      );
    }
    assertEquals(seen, { plain: Object.keys(wanted), tls: [] });
  },
});

Deno.test({
  name: "a plain cluster goes over to TLS: each server keeps its id, its key and its objects",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start([]);
    const env = { METACDN_CLUSTER_KEY: CLUSTER_KEY };
    const plain = await three(cluster, { tls: false, env });
    await uploadAndRead(cluster, plain, []);
    const keys = new Map((await cluster.list(plain[0]!.url)).map(({ id, publicKey }) => [id, publicKey]));
    for (const { id, running } of plain) {
      const { code, stdout } = await runToEnd(
        "certs",
        ["issue", id, "--dir", cluster.certs].concat([
          ...["--name", "localhost,127.0.0.1", "--public-key", keys.get(id)!],
        ]),
      );
      assertEquals([code, stdout], [0, `wrote ${join(cluster.certs, `${id}.pem`)}\n`]);
      running.signal("SIGTERM");
      assertEquals(await running.status(), 0);
    }
    const servers = await three(cluster, { tls: true, env });
    for (const { url } of servers) {
      assertEquals(await cluster.curl(url + path), body);
      const listed = await cluster.list(url);
      assertEquals(listed.map(({ id, publicKey }) => [id, publicKey]).sort(), [...keys].sort());
      assert(listed.every(({ url }) => url.startsWith("https:")));
    }
    await cluster.curl(`${servers[2]!.url}/after`, "-X", "PUT", "-d", "after", "-H", `Authorization: Bearer ${TOKEN}`);
    await eventually(async () => await cluster.curl(`${servers[0]!.url}/after`) === "after", { what: "replication" });
    for (const { running } of servers) assert(!/refused a peer|caught at/.test(running.stderr), running.stderr);
  },
});
