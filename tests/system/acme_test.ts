/** A certificate from a real ACME server, by the command, and what viewers then see. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { readCertificate } from "../../certs/mod.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openTlsFiles } from "../../runtime/tls_source.ts";
import { runToEnd } from "../cli/program.ts";
import { tempDir } from "../kit/mod.ts";
import { client, has } from "./clients.ts";
import { startPebble } from "./pebble.ts";

Deno.test({
  name: "certs acme gets a certificate by http-01, keeps it while it is not due, and renews it with the same account",
  ignore: !(has("pebble") && has("pebble-challtestsrv") && has("curl")),
  async fn() {
    await using pebble = await startPebble();
    await using dir = await tempDir();
    const names = ["cdn.example.com", "www.example.com"];
    const acme = (...more: string[]) =>
      runToEnd("certs", [
        "acme",
        ...["--dir", dir.path, "--name", names.join(), "--email", "ops@example.com"],
        ...["--directory", pebble.directoryUrl, "--ca-file", pebble.caFile],
        ...["--listen", `127.0.0.1:${pebble.challengePort}`, ...more],
      ]);
    const refused = await acme();
    assertEquals(refused.code, 2);
    assertStringIncludes(refused.stderr, "--terms-agreed is missing");

    const files = { cert: join(dir.path, "cdn.example.com.pem"), key: join(dir.path, "cdn.example.com.key") };
    const got = await acme("--terms-agreed");
    assertEquals([got.code, got.stdout], [0, `wrote ${files.cert} and ${files.key}\n`], got.stderr);
    const chain = await Deno.readTextFile(files.cert);
    const facts = readCertificate(chain);
    assertEquals([facts.id, facts.names.toSorted()], [null, names]);
    assert(facts.notAfterMs > Date.now());
    assertEquals((await Deno.stat(files.key)).mode! & 0o777, 0o600);
    const account = join(dir.path, "acme-account.key");
    assertEquals((await Deno.stat(account)).mode! & 0o777, 0o600);
    const accountKey = await Deno.readTextFile(account);

    const kept = await acme("--terms-agreed");
    assertMatch(kept.stdout, /^kept .*: \d+ days left\n$/);
    assertEquals(await Deno.readTextFile(files.cert), chain);

    // Viewers who know the authority are served by the new certificate, and by the next without a restart.
    const root = join(dir.path, "root.crt");
    await Deno.writeTextFile(root, await pebble.root());
    using tls = openTlsFiles(files, { log: silentLogger });
    const server = listen({ hostname: "127.0.0.1", port: 0 }, () => new Response("hello viewer"), {
      log: silentLogger,
      token: null,
      tls,
    });
    try {
      const url = `https://cdn.example.com:${server.port}/`;
      const view = () =>
        client("curl", ["-sS", "--cacert", root, "--resolve", `cdn.example.com:${server.port}:127.0.0.1`, url]);
      assertEquals(await view(), "hello viewer");
      const renewed = await acme("--terms-agreed", "--before", "3650");
      assertEquals(renewed.code, 0, renewed.stderr);
      const next = readCertificate(await Deno.readTextFile(files.cert));
      assert(next.serial !== facts.serial);
      assertEquals(await Deno.readTextFile(account), accountKey);
      tls.check();
      assertEquals(readCertificate(tls.current.cert).serial, next.serial);
      assertEquals(await view(), "hello viewer");
    } finally {
      await server.close();
    }
  },
});

Deno.test({
  name: "where nobody answers the authority's question, it is said in one line, and nothing is written",
  ignore: !(has("pebble") && has("pebble-challtestsrv")),
  async fn() {
    await using pebble = await startPebble();
    await using dir = await tempDir();
    const { code, stderr } = await runToEnd("certs", [
      "acme",
      ...["--dir", dir.path, "--name", "cdn.example.com", "--terms-agreed"],
      ...["--directory", pebble.directoryUrl, "--ca-file", pebble.caFile, "--listen", "127.0.0.1:0"],
    ]);
    assertEquals(code, 1);
    assertMatch(stderr, /^metacdn certs: Cannot get a certificate for cdn\.example\.com from https:.*\n$/);
    assertEquals([...Deno.readDirSync(dir.path)].map(({ name }) => name), ["acme-account.key"]);
  },
});
