/** Who is kept out of a cluster: with secrets that were stolen, and without the right certificate or key. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { join } from "@std/path";
import { type Ca, CertsFolder, derOf, issueCertificate, makeIdentity, randomSerial } from "../../certs/mod.ts";
import { CdnError, wire } from "../../proto/mod.ts";
import { identityKeyFrom } from "../../runtime/identity_key.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { PeerClient } from "../../runtime/peer_client.ts";
import { openTlsClient } from "../../runtime/tls_client.ts";
import { openServer } from "../../server/mod.ts";
import { DAY_MS, newCa, newServer } from "../certs/kit.ts";
import { eventually } from "../kit/mod.ts";
import { has } from "./clients.ts";
import { alive, CLUSTER_KEY, type Server, TlsCluster, TOKEN, trouble } from "./tls_cluster.ts";

const clusterKey = new TextEncoder().encode(CLUSTER_KEY);
const stolen = { METACDN_CLUSTER_KEY: CLUSTER_KEY };
const SECRET = "for members alone";

/** A server "a" that has something, and asks nobody. */
async function startA(cluster: TlsCluster, tls: boolean): Promise<Server> {
  const a = await cluster.server("a", { tls, env: stolen });
  await cluster.curl(`${a.url}/x`, "-X", "PUT", "-d", SECRET, "-H", `Authorization: Bearer ${TOKEN}`);
  return a;
}

/** What `who` has of it; null: nothing. */
async function copyAt(cluster: TlsCluster, who: Server): Promise<string | null> {
  return await cluster.curl(`${who.url}/x`).catch((error: Error) => {
    assertStringIncludes(error.message, "404");
    return null;
  });
}

/** Waits for a line of its log that has all these words. */
async function logged(server: Server, ...words: string[]): Promise<void> {
  await eventually(() => {
    const log = server.running.stderr;
    if (log.split("\n").some((line) => words.every((word) => line.includes(word)))) return true;
    throw new Error(log);
  }, { what: `${server.id} logging ${words}`, deadlineMs: 60_000 });
}

Deno.test({
  name: "a server without TLS that has the token and the cluster key is refused by those with TLS, and gets nothing",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(["a"]);
    const a = await startA(cluster, true);
    // In the clear; over TLS without believing a; over TLS, believing it.
    const tries: [peers: string, env: Record<string, string>, why: string][] = [
      [a.url.replace("https", "http"), {}, "waiting for a server of the config"],
      [a.url, {}, "UnknownIssuer"],
      [a.url, { DENO_CERT: cluster.ca }, "must bring its certificate"],
    ];
    for (const [at, [peers, env, why]] of tries.entries()) {
      const args = ["--peers", peers];
      const plain = await cluster.server(`plain-${at}`, { tls: false, args, env: { ...stolen, ...env } });
      await logged(plain, "waiting for a server of the config", why);
      assertEquals([await copyAt(cluster, plain), (await cluster.list(plain.url)).length], [null, 1]);
    }
    await logged(a, "refused a peer", "from=127.0.0.1", "must bring its certificate");
    assertEquals((await cluster.list(a.url)).map(({ id }) => id), ["a"]);
  },
});

Deno.test({
  name: "a server whose certificate is from another CA is refused with the reason in both logs, and gets nothing",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(["a"]);
    const a = await startA(cluster, true);
    const theirs = new CertsFolder(join(cluster.folder, "theirs"));
    const ca = await newCa("another CA", Date.now());
    const { cert, key } = await newServer(ca, { id: "b", nowMs: Date.now() });
    await theirs.write("b", cert, key);
    // It believes a; a does not believe it.
    await Deno.writeTextFile(theirs.file("ca", "pem"), ca.certificate + await Deno.readTextFile(cluster.ca));
    const args = ["--tls", "--certs", theirs.path, "--peers", a.url];
    const b = await cluster.server("b", { tls: false, args, env: stolen });
    await logged(a, "refused a peer", "no CA that is known here signed it");
    await logged(b, "waiting for a server of the config", "no CA that is known here signed it");
    assertEquals((await cluster.list(a.url)).map(({ id }) => id), ["a"]);
    const answer = await new Deno.Command("curl", { args: ["-sSk", `${b.url}/x`, "-w", "%{http_code}"] }).output();
    assert(new TextDecoder().decode(answer.stdout).endsWith("404"));
  },
});

Deno.test({
  name: "each wrong certificate, and a key that was another server's before, is refused whatever secrets come with it",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(["a", "b"]);
    const a = await startA(cluster, true);
    const b = await cluster.server("b", { args: ["--peers", a.url], env: stolen });
    await eventually(async () => alive(await cluster.list(a.url)).includes("b"), { what: "b at a" });
    const ours = new CertsFolder(cluster.certs).readCa(Date.now());
    const theirs = await newCa("another CA", Date.now());
    using client = openTlsClient(cluster.ca, { log: silentLogger });

    const ask = async (id: string, signer: Ca | null, issued: { id?: string; nowMs?: number; otherKey?: boolean }) => {
      const { key, publicKey } = await makeIdentity();
      const nowMs = issued.nowMs ?? Date.now();
      const bound = issued.otherKey ? (await makeIdentity()).publicKey : publicKey;
      const certificate = signer && derOf(
        await issueCertificate({
          ca: signer,
          id: issued.id ?? id,
          names: ["127.0.0.1"],
          publicKey: bound,
          nowMs,
          serial: randomSerial(),
        }),
      );
      const identity = { id, key: identityKeyFrom(key), certificate };
      const peers = new PeerClient({ clusterKey, token: TOKEN, identity, fetch: client.fetch });
      const question: [typeof wire.PingSchema, wire.Ping] = [
        wire.PingSchema,
        create(wire.PingSchema, { from: id, target: "a" }),
      ];
      return await peers.ask(`${a.url}/-/v1/peer/ping`, wire.PongSchema, { question });
    };
    const refused: [() => Promise<unknown>, why: string][] = [
      [() => ask("c", null, {}), "must bring its certificate"],
      [() => ask("c", theirs, {}), "no CA that is known here signed it"],
      [() => ask("c", ours, { nowMs: Date.now() - 91 * DAY_MS }), "it expired at"],
      [() => ask("c", ours, { nowMs: Date.now() + DAY_MS }), "it is not valid before"],
      [() => ask("c", ours, { id: "d" }), 'is that of "d", not of "c"'],
      [() => ask("c", ours, { otherKey: true }), "the certificate is that of another key"],
      // Who b is, is known here.
      [() => ask("b", null, {}), "must bring its certificate"],
      [() => ask("b", theirs, {}), "no CA that is known here signed it"],
      [() => ask("b", ours, { id: "c" }), 'is that of "c", not of "b"'],
      [() => ask("b", ours, { nowMs: Date.now() - DAY_MS }), "is known by another key"],
    ];
    for (const [asked, why] of refused) {
      const error = await assertRejects(asked, CdnError);
      assertEquals(error.status, 401, error.message);
      assertStringIncludes(error.message, why);
      await logged(a, "refused a peer", why.replaceAll('"', '\\"'));
    }
    assertEquals((await cluster.list(a.url)).map(({ id }) => id), ["a", "b"]);
    b.running.signal("SIGTERM");
    await b.running.status();
    // The door is not locked altogether: a certificate of ours lets in, and a younger one changes the key.
    for (const id of ["c", "b"]) assertEquals((await ask(id, ours, {})).$typeName, "metacdn.v1.Pong");
  },
});

Deno.test({
  name: "a member whose certificate is for another host is not called, and that is why in the log",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start(["a"]);
    const a = await startA(cluster, true);
    const ca = new CertsFolder(cluster.certs).readCa(Date.now());
    const pair = await newServer(ca, { id: "b", names: ["elsewhere.example"], nowMs: Date.now() });
    using client = openTlsClient(cluster.ca, { log: silentLogger });
    const { verifyPeerCertificate } = await import("../../certs/mod.ts");
    const secrets = { token: TOKEN, clusterKey };
    await using node = await openServer({
      data: join(cluster.folder, "b"),
      identity: { id: "b", provider: "local", region: "local", role: "origin", labels: {} },
      secrets,
      tls: {
        key: identityKeyFrom(pair.key),
        certificate: () => derOf(pair.cert),
        onRenewed() {},
        verifyCertificate: (der, nowMs) => verifyPeerCertificate(der, client.ca, nowMs),
        fetch: client.fetch,
      },
    });
    const tls = { current: pair, onChange: () => () => {} };
    const asked: string[] = [];
    const listening = listen({ hostname: "127.0.0.1", port: 0 }, (request, info) => {
      asked.push(request.url);
      return node.handler(request, info);
    }, { log: silentLogger, token: TOKEN, tls });
    try {
      node.start(listening.url, [a.url]);
      // The log has the first trouble with it, which on a busy machine may be that it was slow.
      await logged(a, "a server did not answer", "id=b");
      await eventually(async () => (await trouble(cluster, a.url, "b")).includes("certificate not valid for name"), {
        what: "the reason on the list",
        deadlineMs: 60_000,
      });
      assertEquals(asked, [], "no request came through");
    } finally {
      await node.retire();
      await listening.close();
    }
  },
});

Deno.test({
  name: "without TLS too, a server's id is bound to the key that it was first heard with",
  ignore: !has("curl"),
  async fn() {
    await using cluster = await TlsCluster.start([]);
    const a = await startA(cluster, false);
    const args = ["--peers", a.url];
    const b = await cluster.server("b", { tls: false, args, env: stolen });
    await eventually(async () => await copyAt(cluster, b) === SECRET, { what: "b having it" });
    b.running.signal("SIGTERM");
    assertEquals(await b.running.status(), 0);
    // The same id, with another data folder, and so another key.
    const posing = ["--data", join(cluster.folder, "posing")];
    const data = cluster.run("server", [...posing, "--id", "b", "--listen", "127.0.0.1:0", ...args], stolen);
    const [, url] = await data.line(/^listening (\S+)$/m);
    const pose: Server = { id: "b", url: url!, running: data };
    await logged(a, "refused a peer", "is known by another key");
    await logged(pose, "is known by another key");
    assertEquals(await copyAt(cluster, pose), null);
    assertEquals((await cluster.list(a.url)).find(({ id }) => id === "b")!.url, b.url);
  },
});
