/** Certificates are replaced under a cluster that works, before they expire and after. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { CertsFolder, derOf, randomSerial, readCertificate, renewCertificate } from "../../certs/mod.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openTlsClient, type TlsClient } from "../../runtime/tls_client.ts";
import { eventually } from "../kit/mod.ts";
import { has } from "./clients.ts";
import { alive, certs, CLUSTER_KEY, type Server, TlsCluster, TOKEN, trouble } from "./tls_cluster.ts";

const auth = { authorization: `Bearer ${TOKEN}` };

/** Reads and writes without a pause; each request may be tried once more. */
class Traffic implements AsyncDisposable {
  readonly failures: string[] = [];
  requests = 0;
  retries = 0;
  readonly #client: TlsClient;
  readonly #loops: Promise<void>[];
  #ended = false;

  constructor(client: TlsClient, servers: Server[]) {
    this.#client = client;
    this.#loops = servers.flatMap(({ url, id }) => [
      this.#loop(() => this.#ask(`${url}/steady`, {}, "steady")),
      this.#loop((at) => this.#ask(`${url}/written-at-${id}/${at % 50}`, { method: "PUT", body: `${at}` })),
    ]);
  }

  async #loop(one: (at: number) => Promise<void>): Promise<void> {
    for (let at = 0; !this.#ended && this.failures.length === 0; at++) {
      this.requests++;
      await one(at).catch(() => {
        this.retries++;
        return one(at);
      }).catch((error) => {
        this.failures.push(`${error}: ${error.cause}`);
      });
    }
  }

  async #ask(url: string, init: RequestInit, expected?: string): Promise<void> {
    const answer = await this.#client.fetch(url, { ...init, headers: auth });
    const text = await answer.text();
    if (!answer.ok || (expected !== undefined && text !== expected)) throw new Error(`${answer.status} ${text}`);
  }

  /** So many more requests. */
  async more(count: number): Promise<void> {
    const until = this.requests + count;
    await eventually(() => this.failures.length > 0 || this.requests > until, { what: "traffic", deadlineMs: 60_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#loops);
  }
}

/** Issues a certificate that lives for so long from now. @returns when it ends, in milliseconds */
async function shortLived(cluster: TlsCluster, id: string, lifeMs: number): Promise<number> {
  const folder = new CertsFolder(cluster.certs);
  const ca = folder.readCa(Date.now());
  const { certificate } = folder.read(id)!;
  const renewed = await renewCertificate({ ca, certificate, nowMs: Date.now(), lifeMs, serial: randomSerial() });
  await folder.write(id, renewed, null);
  return readCertificate(renewed).notAfterMs;
}

/** Everybody's list has everybody's certificate as the files have it now. */
async function allKnowAll(cluster: TlsCluster, servers: Server[]): Promise<void> {
  const now = servers.map(({ id }) => derOf(Deno.readTextFileSync(join(cluster.certs, `${id}.pem`))).toBase64());
  for (const { url, id } of servers) {
    await eventually(async () => {
      const listed = await cluster.list(url);
      return servers.every((one, at) => listed.find(({ id }) => id === one.id)?.certificate === now[at]);
    }, { what: `all new certificates at ${id}`, deadlineMs: 60_000 });
  }
}

async function start(cluster: TlsCluster): Promise<Server[]> {
  const env = { METACDN_CLUSTER_KEY: CLUSTER_KEY };
  const a = await cluster.server("a", { env, args: ["--min-copies", "1"] });
  const b = await cluster.server("b", { env, args: ["--min-copies", "1", "--peers", a.url] });
  await eventually(async () => alive(await cluster.list(a.url)).includes("b"), { what: "b at a", deadlineMs: 60_000 });
  return [a, b];
}

const hangup = (servers: Server[]) => servers.forEach(({ running }) => running.signal("SIGHUP"));
const put = (cluster: TlsCluster, url: string, body: string) =>
  cluster.curl(url, "-X", "PUT", "-d", body, "-H", `Authorization: Bearer ${TOKEN}`);

Deno.test({
  name: "certificates are renewed while clients read and servers replicate: no request fails twice, all learn them",
  ignore: !has("curl") || Deno.build.os === "windows",
  async fn() {
    await using cluster = await TlsCluster.start(["a", "b"]);
    const servers = await start(cluster);
    for (const { url } of servers) await put(cluster, `${url}/steady`, "steady");
    using client = openTlsClient(cluster.ca, { log: silentLogger });
    {
      await using traffic = new Traffic(client, servers);
      await traffic.more(100);
      const ends: number[] = [];
      for (const { id } of servers) ends.push(await shortLived(cluster, id, 12_000));
      hangup(servers);
      await allKnowAll(cluster, servers);
      await traffic.more(100);
      await certs("renew", "--all", "--dir", cluster.certs);
      hangup(servers);
      await allKnowAll(cluster, servers);
      assert(Date.now() < Math.min(...ends), "the machine was too slow for this test to show anything");
      // Past the end of the certificates that were replaced.
      await eventually(() => Date.now() > Math.max(...ends) + 1000, { what: "the old ones' end" });
      await traffic.more(200);
      assertEquals(traffic.failures, []);
    }
    await put(cluster, `${servers[0]!.url}/after`, "after");
    await eventually(async () => await cluster.curl(`${servers[1]!.url}/after`) === "after", { what: "replication" });
    for (const { running } of servers) {
      const troubles = running.stderr.split("\n").filter((line) => /refused a peer| ERROR /.test(line));
      assertEquals(troubles, []);
    }
  },
});

Deno.test({
  name: "a server whose certificate expired is not asked until there is a new one; then nothing is missing",
  ignore: !has("curl") || Deno.build.os === "windows",
  async fn() {
    await using cluster = await TlsCluster.start(["a", "b"]);
    const [before, b] = await start(cluster) as [Server, Server];
    const end = await shortLived(cluster, "b", 4000);
    b.running.signal("SIGHUP");
    await eventually(() => b.running.stderr.includes("the certificate changed"), { what: "b taking it" });
    // It is valid through the second that it names (RFC 5280 §4.1.2.5), and a new connection then would stand.
    await eventually(() => Date.now() > end + 1000, { what: "its end" });
    // Connections that stand stay, so it shows with new ones.
    before.running.signal("SIGTERM");
    await before.running.status();
    const a = await cluster.server("a", { env: { METACDN_CLUSTER_KEY: CLUSTER_KEY }, args: ["--min-copies", "1"] });
    const servers = [a, b];
    await eventually(async () => (await trouble(cluster, a.url, "b")).includes("expired"), {
      what: "a refusing b's certificate",
      deadlineMs: 60_000,
    });
    await put(cluster, `${a.url}/meanwhile`, "meanwhile");
    await certs("renew", "--all", "--dir", cluster.certs);
    hangup(servers);
    await allKnowAll(cluster, servers);
    await eventually(async () => await cluster.curl(`${b.url}/meanwhile`) === "meanwhile", {
      what: "what came meanwhile",
      deadlineMs: 120_000,
    });
    await eventually(async () => alive(await cluster.list(a.url)).includes("b"), {
      what: "b alive",
      deadlineMs: 120_000,
    });
  },
});

Deno.test({
  name: "a server gets a new key by a younger certificate; what it took before is still believed, by later servers too",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(["a", "b", "c"]);
    const [a, old] = await start(cluster) as [Server, Server];
    await put(cluster, `${old.url}/by-the-old-key`, "old");
    await eventually(async () => await cluster.curl(`${a.url}/by-the-old-key`) === "old", { what: "replication" });
    const keyAt = async (url: string) => (await cluster.list(url)).find(({ id }) => id === "b")!.publicKey;
    const before = await keyAt(a.url);
    old.running.signal("SIGTERM");
    await old.running.status();
    await Deno.remove(join(cluster.certs, "b.key"));
    await certs("issue", "b", "--dir", cluster.certs, "--name", "localhost,127.0.0.1");
    const options = { env: { METACDN_CLUSTER_KEY: CLUSTER_KEY }, args: ["--min-copies", "1", "--peers", a.url] };
    const b = await cluster.server("b", options);
    await eventually(async () => await keyAt(a.url) !== before, { what: "the new key at a", deadlineMs: 60_000 });
    await put(cluster, `${b.url}/by-the-new-key`, "new");
    await eventually(async () => await cluster.curl(`${a.url}/by-the-new-key`) === "new", { what: "replication" });
    const c = await cluster.server("c", options);
    for (const which of ["old", "new"]) {
      await eventually(async () => await cluster.curl(`${c.url}/by-the-${which}-key`) === which, {
        what: `what b took by its ${which} key at c`,
        deadlineMs: 60_000,
      });
    }
    for (const { running } of [a, b, c]) assert(!running.stderr.includes("caught at"), running.stderr);
  },
});
