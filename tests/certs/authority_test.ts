import { X509Certificate } from "node:crypto";
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { issueCertificate, makeCa, randomSerial, readCertificate, renewCertificate } from "../../certs/mod.ts";
import { makeKeyPair } from "../../certs/keys.ts";
import { CdnError } from "../../proto/mod.ts";
import { DAY_MS, der, newCa, newServer, NOW_MS } from "./kit.ts";

Deno.test("a CA is one of P-256 that may sign servers' certificates and no further CA", async () => {
  const { certificate, key } = await makeCa({ name: "our CA", nowMs: NOW_MS, lifeMs: 100 * DAY_MS, serial: "4a5b" });
  const parsed = new X509Certificate(certificate);
  assert(parsed.ca && parsed.verify(parsed.publicKey));
  assertEquals([parsed.subject, parsed.issuer, parsed.serialNumber], ["CN=our CA", "CN=our CA", "4A5B"]);
  assertEquals(parsed.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assertEquals(parsed.validToDate.getTime(), NOW_MS + 100 * DAY_MS);
  assertMatch(key, /^-----BEGIN PRIVATE KEY-----\n/);
});

Deno.test("a certificate binds a server's identity key to its id and names, for 90 days", async () => {
  const ca = await newCa();
  const { cert, publicKey } = await newServer(ca, {
    id: "fra-1",
    names: ["Fra.example.net", "10.0.0.1", "2001:db8::1"],
  });
  const facts = readCertificate(cert);
  assertEquals(facts.id, "fra-1");
  assertEquals(facts.names, ["fra.example.net", "10.0.0.1", "2001:db8::1"]);
  assertEquals(facts.publicKey, publicKey);
  assertEquals([facts.hasTlsKey, facts.isCa, facts.purposes], [false, false, { server: true, client: true }]);
  assert(facts.notBeforeMs < NOW_MS, "clocks that are a little behind take it");
  assertEquals(facts.notAfterMs, NOW_MS + 90 * DAY_MS);
  assertEquals(facts.issuer, "CN=test CA");
  const parsed = new X509Certificate(cert);
  assert(parsed.checkIssued(new X509Certificate(ca.certificate)));
  assertEquals(parsed.subject, "CN=fra-1");
  assertEquals(readCertificate(der(cert)), facts, "the same from DER");
});

Deno.test("where TLS has a key of its own, the identity key is one of the names", async () => {
  const ca = await newCa();
  const { publicKey: tlsKey } = await makeKeyPair("P-256");
  const { cert, publicKey } = await newServer(ca, { tlsKey });
  assertEquals(new X509Certificate(cert).publicKey.asymmetricKeyType, "ec");
  const facts = readCertificate(cert);
  assertEquals([facts.id, facts.publicKey, facts.hasTlsKey], ["a", publicKey, true]);
  const renewed = await renewCertificate({ ca, certificate: cert, nowMs: NOW_MS + DAY_MS, serial: randomSerial() });
  assertEquals(new X509Certificate(renewed).publicKey.equals(new X509Certificate(cert).publicKey), true);
  assertEquals(readCertificate(renewed).publicKey, publicKey);
});

Deno.test("a renewed certificate says the same for a new time", async () => {
  const ca = await newCa();
  const { cert } = await newServer(ca);
  const nowMs = NOW_MS + 60 * DAY_MS;
  const renewed = await renewCertificate({ ca, certificate: cert, nowMs, lifeMs: 30 * DAY_MS, serial: randomSerial() });
  const [before, after] = [readCertificate(cert), readCertificate(renewed)];
  assertEquals([after.id, after.names, after.publicKey], [before.id, before.names, before.publicKey]);
  assertEquals(after.notAfterMs, nowMs + 30 * DAY_MS);
  assertNotEquals(after.serial, before.serial);
  const error = await assertRejects(
    () => renewCertificate({ ca, certificate: ca.certificate, nowMs, serial: randomSerial() }),
    CdnError,
  );
  assertMatch(error.message, /Only the certificate of a server/);
});

Deno.test("a certificate ends no later than its CA, and an expired CA issues none", async () => {
  const ca = await newCa("short", NOW_MS, 10 * DAY_MS);
  const { cert } = await newServer(ca);
  assertEquals(readCertificate(cert).notAfterMs, NOW_MS + 10 * DAY_MS);
  await assertRejects(() => newServer(ca, { nowMs: NOW_MS + 11 * DAY_MS }), CdnError, "the CA expired");
});

Deno.test("serial numbers are positive and have more than 64 bits of chance", () => {
  const serials = Array.from({ length: 200 }, randomSerial);
  assertEquals(new Set(serials).size, 200);
  for (const serial of serials) assertMatch(serial, /^[4-7][0-9a-f]{31}$/);
});

Deno.test("ids, names and keys that are none are refused", async () => {
  const ca = await newCa();
  for (const id of ["", "a b", "-a", "a/b", "a".repeat(65), "ä", "a\n"]) {
    await assertRejects(() => newServer(ca, { id }), CdnError, "is no id of a server");
  }
  for (
    const name of [
      "",
      "a..b",
      "-a",
      "a_b",
      "1.2.3",
      "1.2.3.256",
      "http://a",
      "a:1",
      "*",
      "*.com",
      "::g",
      "a b",
      "x".repeat(64),
    ]
  ) {
    await assertRejects(() => newServer(ca, { names: [name] }), CdnError, "neither a DNS name nor an IP address");
  }
  await assertRejects(() => newServer(ca, { names: [] }), CdnError, "needs a name");
  for (const key of ["", "garbage", (await newServer(ca)).key, ca.certificate]) {
    await assertRejects(() => newServer({ ...ca, key }), CdnError, "no P-256 key");
  }
  const publicKey = new Uint8Array(31);
  const options = { ca, id: "a", names: ["a"], publicKey, nowMs: NOW_MS, serial: randomSerial() };
  await assertRejects(() => issueCertificate(options), CdnError, "32 bytes");
});

Deno.test("what is no certificate is refused, however large", () => {
  const begin = "-----BEGIN CERTIFICATE-----\n", end = "\n-----END CERTIFICATE-----\n";
  const wrong = ["", "garbage", `${begin}AAAA${end}`, `${begin}!${end}`, begin + "A".repeat(10 << 20) + end];
  for (const text of wrong) assertThrows(() => readCertificate(text), CdnError);
  for (const bytes of [new Uint8Array(), new Uint8Array(100), new Uint8Array(10 << 20)]) {
    assertThrows(() => readCertificate(bytes), CdnError);
  }
});
