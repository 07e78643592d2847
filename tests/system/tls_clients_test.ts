/** Clients of others against our certificates. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { makeKeyPair } from "../../certs/mod.ts";
import { DAY_MS, newCa, newServer, serve } from "../certs/kit.ts";
import { tempDir } from "../kit/mod.ts";
import { client, has } from "./clients.ts";

const now = Date.now();

Deno.test({
  name: "curl (OpenSSL) takes our certificates, with the identity key and with one for browsers, by name and address",
  ignore: !has("curl"),
  async fn() {
    await using dir = await tempDir();
    const ca = await newCa("test CA", now);
    const caFile = join(dir.path, "ca.pem");
    await Deno.writeTextFile(caFile, ca.certificate);
    for (const tlsKey of [null, await makeKeyPair("P-256")]) {
      const { cert, key } = await newServer(ca, { nowMs: now, tlsKey: tlsKey?.publicKey ?? null });
      await using server = serve({ cert, key: tlsKey?.key ?? key }, () => new Response("hello"));
      for (const host of ["localhost", "127.0.0.1"]) {
        for (const version of ["--http1.1", "--http2"]) {
          const url = `https://${host}:${server.port}/`;
          assertEquals(await client("curl", ["-sS", "--ipv4", version, "--cacert", caFile, url]), "hello");
        }
      }
    }
  },
});

Deno.test({
  name: "curl refuses what it should: another CA, another host, an expired certificate, one of the future",
  ignore: !has("curl"),
  async fn() {
    await using dir = await tempDir();
    const ca = await newCa("test CA", now);
    const caFile = join(dir.path, "ca.pem");
    await Deno.writeTextFile(caFile, ca.certificate);
    const wrong = [
      [await newServer(await newCa("test CA", now), { nowMs: now }), "curl: (60)"],
      [await newServer(ca, { nowMs: now, names: ["elsewhere.example"] }), "no alternative certificate subject name"],
      [await newServer(ca, { nowMs: now - 91 * DAY_MS }), "certificate has expired"],
      [await newServer(ca, { nowMs: now + DAY_MS }), "certificate is not yet valid"],
    ] as const;
    for (const [pair, why] of wrong) {
      await using server = serve(pair, () => new Response("secret"));
      const asked = client("curl", ["-sS", "--cacert", caFile, `https://127.0.0.1:${server.port}/`]);
      const error = await assertRejects(() => asked, Error);
      assertStringIncludes(error.message, why);
    }
  },
});
