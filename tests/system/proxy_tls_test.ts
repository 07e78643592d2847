/** A proxy between viewers who talk TLS and servers who do, as real processes. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { makeKeyPair } from "../../certs/mod.ts";
import { newCa, newServer } from "../certs/kit.ts";
import { runToEnd } from "../cli/program.ts";
import { eventually } from "../kit/mod.ts";
import { client, has } from "./clients.ts";
import { CLUSTER_KEY, TlsCluster, TOKEN } from "./tls_cluster.ts";

/** Writes what stands for a public authority, and a certificate of it as browsers take them. */
async function publicPair(folder: string, name: string): Promise<{ ca: string; cert: string; key: string }> {
  const ca = await newCa(name, Date.now());
  const { key, publicKey } = await makeKeyPair("P-256");
  const names = ["cdn.example.com", "127.0.0.1"];
  const { cert } = await newServer(ca, { id: "viewers", names, tlsKey: publicKey, nowMs: Date.now() });
  const files = { ca: join(folder, `${name}-ca.pem`), cert: join(folder, "cdn.pem"), key: join(folder, "cdn.key") };
  await Deno.writeTextFile(files.ca, ca.certificate);
  await Deno.writeTextFile(files.key, key);
  await Deno.writeTextFile(files.cert, cert);
  return files;
}

for (const workers of [1, 2]) {
  Deno.test({
    name:
      `viewers by TLS, servers by TLS, ${workers} worker(s): reads, ranges, writes; a new certificate while it runs`,
    ignore: !has("curl") || Deno.build.os === "windows",
    async fn() {
      await using cluster = await TlsCluster.start(["a"]);
      const env = { METACDN_CLUSTER_KEY: CLUSTER_KEY };
      const a = await cluster.server("a", { env });
      const first = await publicPair(cluster.folder, "first");
      const args = ["--listen", "127.0.0.1:0", "--probe-interval", "200", "--workers", `${workers}`, "--server", a.url];
      const proxy = cluster.run("proxy", [
        ...args,
        ...["--ca", cluster.ca, "--tls-cert", first.cert, "--tls-key", first.key, "--name", "cdn.example.com"],
      ], env);
      const [, url] = await proxy.line(/^listening (https:\/\/\S+)$/m);
      const curl = (ca: string, path: string, ...args: string[]) =>
        client("curl", ["-sS", "--fail", "--max-time", "20", "--cacert", ca, ...args, url + path]);
      await eventually(() => curl(first.ca, "/-/readyz"), { what: "a proxy that is ready" });

      const auth = ["-H", `Authorization: Bearer ${TOKEN}`];
      const body = "0123456789".repeat(30_000);
      const file = join(cluster.folder, "body");
      await Deno.writeTextFile(file, body);
      for (const version of ["--http1.1", "--http2"]) {
        const path = `/by${version.replace("--", "-")}`;
        await curl(first.ca, path, version, "-T", file, ...auth);
        assertEquals(await curl(first.ca, path, version), body);
        assertEquals(await curl(first.ca, path, version, "-r", "5-9"), "56789");
        const head = await curl(first.ca, path, version, "-I");
        assertMatch(head, /^metacdn-route: server="a"/m);
        assertMatch(head, version === "--http2" ? /^HTTP\/2 200/ : /^HTTP\/1\.1 200/);
        assertEquals(await cluster.curl(a.url + path), body);
      }
      await assertRejects(() => curl(cluster.ca, "/by-http2"), Error, "curl: (60)");

      const second = await publicPair(cluster.folder, "second");
      proxy.signal("SIGHUP");
      await eventually(() => curl(second.ca, "/by-http2"), { what: "the new certificate" });
      await assertRejects(() => curl(first.ca, "/by-http2"), Error, "curl: (60)");
      proxy.signal("SIGTERM");
      assertEquals(await proxy.status(), 0);
    },
  });
}

Deno.test({
  name: "a proxy that does not know the CA asks no server; one that does asks none in the clear",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(["a"]);
    const env = { METACDN_CLUSTER_KEY: CLUSTER_KEY };
    const a = await cluster.server("a", { env });
    const args = ["--listen", "127.0.0.1:0", "--workers", "1"];
    const proxy = cluster.run("proxy", [...args, "--server", a.url], env);
    await eventually(() => /no server tells the list of servers: .*UnknownIssuer/.test(proxy.stderr), {
      what: "the refusal in the log",
      deadlineMs: 60_000,
    });
    const plain = ["--server", "http://192.0.2.1:8080"];
    const { code, stderr } = await runToEnd("proxy", [...args, ...plain], { env: { METACDN_CA: cluster.ca } });
    assertEquals([code, stderr.trim().split("\n").length], [2, 1], stderr);
    assertMatch(stderr, /with --ca \(or METACDN_CA\) a URL must be https:\/\/, and http:\/\/192\.0\.2\.1:8080 is not/);
  },
});

Deno.test({
  name: "a server shows viewers a certificate of another authority than its peers, at an address of its own",
  ignore: !has("curl") || Deno.build.os === "windows",
  async fn() {
    await using cluster = await TlsCluster.start(["a"]);
    const first = await publicPair(cluster.folder, "first");
    const viewers = ["--viewer-listen", "127.0.0.1:0", "--viewer-cert", first.cert, "--viewer-key", first.key];
    const a = await cluster.server("a", { args: viewers });
    const [, url] = await eventually(() => /listening for viewers url=(\S+)/.exec(a.running.stderr), {
      what: "its line",
    });
    const auth = ["-H", `Authorization: Bearer ${TOKEN}`];
    await cluster.curl(`${a.url}/x`, "-X", "PUT", "-d", "seen by all", ...auth);
    const view = (ca: string) => client("curl", ["-sS", "--fail", "--cacert", ca, `${url}/x`]);
    assertEquals(await view(first.ca), "seen by all");
    await assertRejects(() => view(cluster.ca), Error, "curl: (60)");
    const second = await publicPair(cluster.folder, "second");
    a.running.signal("SIGHUP");
    await eventually(() => view(second.ca), { what: "the new certificate" });
    assert(!a.running.stdout.includes(url!), "one line on standard output, as ever");
    a.running.signal("SIGTERM");
    assertEquals(await a.running.status(), 0);
  },
});
