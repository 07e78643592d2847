/** Whether a peer is believed. */
import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { verifyPeerCertificate } from "../../certs/mod.ts";
import { importSigner, makeKeyPair } from "../../certs/keys.ts";
import { X509 } from "../../certs/x509.ts";
import { CdnError } from "../../proto/mod.ts";
import { DAY_MS, der, newCa, newServer, NOW_MS } from "./kit.ts";

const ca = await newCa();
const pinned = [der(ca.certificate)];

/** A certificate that our own functions would not issue. */
async function oddOne(
  {
    usages = [X509.ExtendedKeyUsage.serverAuth, X509.ExtendedKeyUsage.clientAuth],
    uris = ["urn:metacdn:server:a"],
    isCa = false,
    kind = "Ed25519" as "Ed25519" | "P-256",
  },
): Promise<Uint8Array> {
  const { publicKey } = await makeKeyPair(kind);
  const certificate = await X509.X509CertificateGenerator.create({
    serialNumber: "01",
    subject: "CN=a",
    issuer: "CN=test CA",
    notBefore: new Date(NOW_MS),
    notAfter: new Date(NOW_MS + DAY_MS),
    publicKey,
    signingKey: await importSigner(ca.key),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new X509.BasicConstraintsExtension(isCa),
      ...(usages.length ? [new X509.ExtendedKeyUsageExtension(usages)] : []),
      new X509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: "url" as const, value }))),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

function refusal(bytes: Uint8Array, { cas = pinned as Uint8Array[], nowMs = NOW_MS, id = "a" } = {}): string {
  const error = assertThrows(() => verifyPeerCertificate(bytes, cas, nowMs, { id }), CdnError);
  assertEquals([error.status, error.retry], [401, false]);
  assertStringIncludes(error.message, "Cannot take the peer's certificate: ");
  return error.message;
}

/** Since when a certificate of {@link newServer} is valid: a little before it is made. */
const notBeforeMs = NOW_MS - 5 * 60_000;

Deno.test("a certificate of our CA says who the peer is, the first time and later", async () => {
  const { cert, publicKey } = await newServer(ca);
  for (let round = 0; round < 2; round++) {
    assertEquals(verifyPeerCertificate(der(cert), pinned, NOW_MS), { id: "a", publicKey, notBeforeMs });
    assertEquals(verifyPeerCertificate(der(cert), pinned, NOW_MS, { id: "a" }), { id: "a", publicKey, notBeforeMs });
  }
  const { publicKey: tlsKey } = await makeKeyPair("P-256");
  const other = await newServer(ca, { tlsKey });
  assertEquals(verifyPeerCertificate(der(other.cert), pinned, NOW_MS), {
    id: "a",
    publicKey: other.publicKey,
    notBeforeMs,
  });
});

Deno.test("while one CA follows another, both are believed", async () => {
  const next = await newCa(); // of the same name
  const [old, young] = [await newServer(ca), await newServer(next)];
  const both = [der(next.certificate), der(ca.certificate)];
  assertEquals(verifyPeerCertificate(der(old.cert), both, NOW_MS).publicKey, old.publicKey);
  assertEquals(verifyPeerCertificate(der(young.cert), both, NOW_MS).publicKey, young.publicKey);
  assertStringIncludes(refusal(der(young.cert)), "no CA that is known here");
});

Deno.test("time is asked each time, also for what was believed before", async () => {
  const { cert } = await newServer(ca);
  verifyPeerCertificate(der(cert), pinned, NOW_MS);
  assertStringIncludes(refusal(der(cert), { nowMs: NOW_MS + 90 * DAY_MS + 1 }), "it expired at 2027-02-23");
  assertStringIncludes(refusal(der(cert), { nowMs: NOW_MS - DAY_MS }), "it is not valid before 2026-11-25");
  const short = await newCa("short", NOW_MS, DAY_MS);
  const { cert: leaf } = await newServer(short);
  const late = { cas: [der(short.certificate)], nowMs: NOW_MS + DAY_MS + 1 };
  assertStringIncludes(refusal(der(leaf), late), "expired");
});

Deno.test("the certificate of another server is refused", async () => {
  const { cert } = await newServer(ca, { id: "b" });
  assertStringIncludes(refusal(der(cert)), "that of b, not of a");
});

Deno.test("strangers are refused: another CA, one of the same name, one that signed itself", async () => {
  const { cert } = await newServer(await newCa("another"));
  assertStringIncludes(refusal(der(cert)), "no CA that is known here signed it");
  assertStringIncludes(refusal(der((await newServer(await newCa())).cert)), "no CA that is known here signed it");
  assertStringIncludes(refusal(der((await newCa("self")).certificate)), "no CA that is known here signed it");
  assertStringIncludes(refusal(der(cert), { cas: [] }), "no CA that is known here signed it");
  const own = await newServer(ca);
  assertStringIncludes(refusal(der(own.cert), { cas: [der(own.cert)] }), "no CA that is known here");
});

Deno.test("what our CA signed for something else is refused", async () => {
  assertStringIncludes(refusal(der(ca.certificate)), "not for a server and client");
  assertStringIncludes(refusal(await oddOne({ isCa: true })), "not for a server and client");
  assertStringIncludes(refusal(await oddOne({ usages: [] })), "not for a server and client");
  assertStringIncludes(refusal(await oddOne({ usages: [X509.ExtendedKeyUsage.serverAuth] })), "not for a server and");
  assertStringIncludes(refusal(await oddOne({ uris: ["https://example.com/"] })), "names no server");
  assertStringIncludes(refusal(await oddOne({ uris: ["urn:metacdn:server:a b"] })), "names no server");
  const two = ["urn:metacdn:server:a", "urn:metacdn:server:b"];
  assertStringIncludes(refusal(await oddOne({ uris: two })), "names no server");
  assertStringIncludes(refusal(await oddOne({ kind: "P-256" })), "binds no identity key");
  const short = ["urn:metacdn:server:a", "urn:metacdn:key:AAAA"];
  assertStringIncludes(refusal(await oddOne({ kind: "P-256", uris: short })), "binds no identity key");
});

Deno.test("bytes that are no certificate are refused, and a changed certificate too", async () => {
  assertStringIncludes(refusal(new Uint8Array()), "cannot be read");
  assertStringIncludes(refusal(crypto.getRandomValues(new Uint8Array(500))), "cannot be read");
  assertStringIncludes(refusal(new Uint8Array(1 << 20)), "too many");
  assertStringIncludes(refusal(new Uint8Array(8193)), "too many");
  assertStringIncludes(refusal(new Uint8Array(8192)), "cannot be read");
  const { cert, publicKey } = await newServer(ca);
  const good = der(cert);
  // What is signed follows the head of the outer sequence, and has a length of two bytes too (X.690 §8.1.3).
  const signedEnd = 8 + (good[6]! << 8 | good[7]!);
  let changed = 0;
  for (let at = 0; at < good.length; at++) {
    const bad = Uint8Array.from(good);
    bad[at]! ^= 1;
    if (at < signedEnd) refusal(bad);
    else {
      // Behind it a parser may overlook a bit that means nothing; nobody becomes another by it.
      try {
        assertEquals(verifyPeerCertificate(bad, pinned, NOW_MS), { id: "a", publicKey, notBeforeMs });
      } catch (error) {
        assertInstanceOf(error, CdnError);
        changed++;
      }
    }
  }
  assert(changed > 60, "the signature's bytes among them");
});
