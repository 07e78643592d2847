import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { decodeBase64 } from "@std/encoding/base64";
import fc from "fast-check";
import { CdnError } from "../../proto/mod.ts";
import {
  keyFingerprint,
  randomNonce,
  REPLAY_WINDOW_MS,
  sha256,
  sign,
  SignatureVerifier,
  signRequest,
} from "../../runtime/signature.ts";
import { signatureBase } from "../../runtime/http_signature.ts";
import { identityKeyFrom } from "../../runtime/identity_key.ts";
import { Nonces } from "../../runtime/nonces.ts";

const key = new TextEncoder().encode("a key between servers");
const now = 1_700_000_000_000;
const url = "http://node-a:8080/-/v1/peer/offers?x=1";
const body = new TextEncoder().encode('{"hello": "world"}');

interface Sent {
  method: string;
  url: string;
  headers: Headers;
  body: Uint8Array | null;
}

function signed(
  change: Partial<{ method: string; url: string; body: Uint8Array | null; nonce: string; at: number }> = {},
): Sent {
  const request = { method: "POST", url, body, ...change };
  const fields = signRequest(request, { key, nowMs: change.at ?? now, nonce: change.nonce ?? randomNonce() });
  return { ...request, headers: new Headers(fields) };
}

function refusal(request: Sent, verifier = new SignatureVerifier(key), at = now): string {
  const error = assertThrows(() => verifier.verify(request, at), CdnError);
  assertEquals(error.status, 401);
  assertEquals(error.headers["www-authenticate"], "Signature");
  return error.message;
}

// RFC 9421, appendix B.2.5: "test-shared-secret" (B.1.5) signs date, @authority and content-type of B.2's request.
Deno.test("the RFC's own example of an HMAC signature comes out bit for bit", () => {
  const secret = decodeBase64(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
  );
  const parameters = '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"';
  const base = signatureBase(
    {
      method: "POST",
      url: "https://example.com/foo?param=Value&Pet=dog",
      fields: { "date": "Tue, 20 Apr 2021 02:07:55 GMT", "content-type": "application/json" },
    },
    ["date", "@authority", "content-type"],
    parameters,
  );
  assertEquals(
    base,
    '"date": Tue, 20 Apr 2021 02:07:55 GMT\n"@authority": example.com\n"content-type": application/json\n' +
      `"@signature-params": ${parameters}`,
  );
  assertEquals(sign(secret, base).toString("base64"), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
});

// RFC 9421, appendix B.2.6: "test-key-ed25519" (B.1.4) signs B.2's request.
const edKey = identityKeyFrom(
  "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n",
);

Deno.test("the RFC's own example of an Ed25519 signature comes out bit for bit", () => {
  const base = signatureBase(
    {
      method: "POST",
      url: "https://example.com/foo?param=Value&Pet=dog",
      fields: { "date": "Tue, 20 Apr 2021 02:07:55 GMT", "content-type": "application/json", "content-length": "18" },
    },
    ["date", "@method", "@path", "@authority", "content-type", "content-length"],
    '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
  );
  assertEquals(
    edKey.sign(new TextEncoder().encode(base)).toBase64(),
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
  );
});

Deno.test("the fields of a server's request are these, and stay these: other versions read them", () => {
  const identity = { id: "node-a", key: edKey, certificate: new Uint8Array([1, 2, 3]) };
  const request = { method: "POST", url: "http://node-b:8080/-/v1/peer/ping?x", body };
  const options = { identity, nowMs: now, nonce: "0123456789abcdef" };
  const components = '("@method" "@authority" "@path" "@query" "content-digest" "metacdn-key" "client-cert")';
  const parameters = (keyid: string, alg: string) =>
    `${components};created=1700000000;nonce="0123456789abcdef";keyid="${keyid}";alg="${alg}";tag="metacdn"`;
  const fields = signRequest(request, { ...options, key, introduce: true });
  assertEquals(
    fields["signature-input"],
    `metacdn=${parameters("cluster", "hmac-sha256")}, ` +
      `metacdn-server=${parameters("node-a", "ed25519")}`,
  );
  assertEquals(fields["metacdn-key"], ":JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=:");
  assertEquals(fields["client-cert"], ":AQID:");
  assertMatch(fields.signature!, /^metacdn=:[A-Za-z0-9+/]{43}=:, metacdn-server=:[A-Za-z0-9+/]{86}==:$/);
  assertEquals(Object.keys(fields).sort(), [
    "client-cert",
    "content-digest",
    "metacdn-key",
    "signature",
    "signature-input",
  ]);
  // With less to sign by, less is said; and what was said to nobody is nothing.
  assertEquals(Object.keys(signRequest(request, options)).sort(), ["content-digest", "signature", "signature-input"]);
  assertEquals(signRequest(request, { ...options, identity: null, introduce: true }), {});
  const plain = signRequest(request, { ...options, identity: null, key, introduce: true });
  assertEquals(plain["metacdn-key"], undefined);
});

Deno.test("derived components are those of the RFC's examples", () => {
  // §2.2.1, §2.2.3, §2.2.6, §2.2.7
  const lines = (method: string, target: string) =>
    signatureBase({ method, url: target }, ["@method", "@authority", "@path", "@query"], "()").split("\n");
  assertEquals(lines("POST", "https://www.EXAMPLE.com:443/path?param=value&foo=bar&baz=bat%2Dman"), [
    '"@method": POST',
    '"@authority": www.example.com',
    '"@path": /path',
    '"@query": ?param=value&foo=bar&baz=bat%2Dman',
    '"@signature-params": ()',
  ]);
  assertEquals(lines("GET", "http://a:80").slice(1, 4), ['"@authority": a', '"@path": /', '"@query": ?']);
  assertEquals(lines("GET", "http://a:8080/x?").slice(1, 4), ['"@authority": a:8080', '"@path": /x', '"@query": ?']);
});

Deno.test("what is signed verifies, with a body and without", () => {
  const verifier = new SignatureVerifier(key);
  verifier.verify(signed(), now);
  verifier.verify(signed({ method: "GET", body: null }), now);
  verifier.verify(signed({ body: new Uint8Array() }), now);
  verifier.verify(signed({ url: "http://NODE-A:80/" }), now);
});

Deno.test("a change of anything that is signed is refused", () => {
  const given = signed();
  const table: [string, Partial<Sent>][] = [
    ["method", { method: "PUT" }],
    ["authority", { url: url.replace("node-a", "node-b") }],
    ["port", { url: url.replace("8080", "8081") }],
    ["path", { url: url.replace("/offers", "/servers") }],
    ["query", { url: url.replace("x=1", "x=2") }],
    ["no query", { url: url.replace("?x=1", "") }],
    ["body", { body: new TextEncoder().encode('{"hello": "World"}') }],
    ["body gone", { body: null }],
  ];
  for (const [what, change] of table) refusal({ ...given, ...change }, undefined, now) || assert(false, what);
  assertStringIncludes(refusal(given, new SignatureVerifier(new TextEncoder().encode("another key"))), "wrong");
});

Deno.test("a change of any byte of the signing fields is refused", () => {
  const given = signed({ nonce: "0123456789abcdef" });
  const edit = fc.record({
    field: fc.constantFrom("signature", "signature-input", "content-digest"),
    at: fc.nat(200),
    to: fc.integer({ min: 0x20, max: 0x7e }),
  });
  fc.assert(
    fc.property(edit, ({ field, at, to }) => {
      const value = given.headers.get(field)!;
      const place = at % value.length;
      const changed = value.slice(0, place) + String.fromCharCode(to) + value.slice(place + 1);
      // A space where the list allows one more or less changes nothing that is signed.
      if (changed.replaceAll(" ", "") === value.replaceAll(" ", "")) return;
      const headers = new Headers(given.headers);
      headers.set(field, changed);
      if (sameBytes(field, value, changed)) return;
      const error = assertThrows(() => new SignatureVerifier(key).verify({ ...given, headers }, now), CdnError);
      assert([400, 401].includes(error.status));
    }),
    { numRuns: 600 },
  );
});

/** Base64's last letter has bits that mean nothing: then it is the same signature. */
function sameBytes(field: string, a: string, b: string): boolean {
  if (field !== "signature") return false;
  const bytes = (text: string) => /^metacdn=:([A-Za-z0-9+/=]*):$/.exec(text)?.[1];
  const [x, y] = [bytes(a), bytes(b)];
  try {
    return x !== undefined && y !== undefined && decodeBase64(x).join() === decodeBase64(y).join();
  } catch {
    return false;
  }
}

Deno.test("a signature that covers too little, or the unknown, is refused", () => {
  const given = signed();
  const covering = (input: string) => {
    const headers = new Headers(given.headers);
    headers.set("signature-input", input);
    return refusal({ ...given, headers });
  };
  const rest = ';created=1700000000;nonce="0123456789";keyid="cluster";alg="hmac-sha256";tag="metacdn"';
  assertStringIncludes(covering(`metacdn=("@method" "@authority" "@path")${rest}`), "does not cover @query");
  assertStringIncludes(covering(`metacdn=()${rest}`), "does not cover");
  const four = '"@method" "@authority" "@path" "@query"';
  assertStringIncludes(covering(`metacdn=(${four})${rest}`), "is wrong");
  assertStringIncludes(refusal({ ...signed({ body: null }), body }), "does not cover the body");
  assertStringIncludes(covering(`metacdn=(${four} "content-digest" "date")${rest}`), "not known");
  assertStringIncludes(covering(`metacdn=(${four} "@path" "content-digest")${rest}`), "not known");
  assertStringIncludes(covering(`metacdn=("@method";req "@authority" "@path" "@query")${rest}`), "does not cover");
  assertStringIncludes(covering(`metacdn=(${four} "content-digest")${rest.replace("hmac-sha256", "none")}`), "alg");
  assertStringIncludes(
    covering(`metacdn=(${four} "content-digest")${rest.replace('tag="metacdn"', 'tag="x"')}`),
    "tag",
  );
  assertStringIncludes(
    covering(`metacdn=(${four} "content-digest");created=1;alg="hmac-sha256";tag="metacdn"`),
    "nonce",
  );
  assertStringIncludes(covering(`other=(${four})${rest}`), "missing or malformed");
  assertStringIncludes(covering("metacdn=1"), "missing or malformed");
  assertStringIncludes(covering("(((("), "missing or malformed");
});

Deno.test("a missing field is refused", () => {
  for (const field of ["signature", "signature-input", "content-digest"]) {
    const given = signed();
    given.headers.delete(field);
    assertStringIncludes(refusal(given), "missing", field);
  }
  assertEquals(SignatureVerifier.isSigned(new Headers()), false);
  assertEquals(SignatureVerifier.isSigned(signed().headers), true);
});

Deno.test("a request is taken once, for as long as its time is taken", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -REPLAY_WINDOW_MS, max: REPLAY_WINDOW_MS }),
      fc.array(fc.integer({ min: 0, max: 3 * REPLAY_WINDOW_MS }), { minLength: 1, maxLength: 5 }),
      (skew, later) => {
        const verifier = new SignatureVerifier(key);
        const skewMs = Math.trunc(skew / 1000) * 1000; // `created` is in whole seconds
        const given = signed({ at: now + skewMs, nonce: "0123456789" });
        verifier.verify(given, now);
        for (const wait of later.sort((a, b) => a - b)) {
          refusal(given, verifier, now + wait);
          verifier.verify(signed({ at: now + wait }), now + wait); // others come in between, and old nonces go
        }
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("the very last moment of the window is no hole", () => {
  const verifier = new SignatureVerifier(key);
  const given = signed({ at: now + REPLAY_WINDOW_MS, nonce: "0123456789" });
  verifier.verify(given, now);
  assertStringIncludes(refusal(given, verifier, now + 2 * REPLAY_WINDOW_MS), "played already");
});

Deno.test("the head is judged before the body is there, and takes no nonce", () => {
  const verifier = new SignatureVerifier(key);
  const given = signed();
  const early = (at = now) => verifier.checkHead(given, at);
  const said = (act: () => unknown) => assertThrows(act, CdnError).message;
  assertStringIncludes(said(() => new SignatureVerifier(new Uint8Array(9)).checkHead(given, now)), "is wrong");
  assertStringIncludes(said(() => early(now + REPLAY_WINDOW_MS + 1)), "replay window");

  const [first, second] = [early(), early()];
  assertStringIncludes(said(() => first(new Uint8Array(3), now)), "does not match its Content-Digest");
  assertStringIncludes(said(() => first(null, now)), "does not match its Content-Digest");
  first(body, now); // a wrong body did not use the nonce up
  assertStringIncludes(said(() => second(body, now)), "played already");
  assertStringIncludes(said(() => early()), "played already");
});

Deno.test("a body that takes longer than the window is refused: its nonce may be forgotten meanwhile", () => {
  const verifier = new SignatureVerifier(key);
  const given = signed({ at: now + REPLAY_WINDOW_MS });
  const slow = verifier.checkHead(given, now + REPLAY_WINDOW_MS);
  verifier.verify(given, now);
  const later = now + 2 * REPLAY_WINDOW_MS + 1;
  assertStringIncludes(assertThrows(() => slow(body, later), CdnError).message, "replay window");
});

Deno.test("times outside the window are refused on both sides", () => {
  for (const at of [now - REPLAY_WINDOW_MS - 1000, now + REPLAY_WINDOW_MS + 1000]) {
    assertStringIncludes(refusal(signed({ at })), "replay window");
  }
  new SignatureVerifier(key).verify(signed({ at: now - REPLAY_WINDOW_MS }), now);
});

Deno.test("a full table of nonces refuses rather than forgets, until they are out of the window", () => {
  const verifier = new SignatureVerifier(key, { nonces: new Nonces({ most: 3 }) });
  for (let i = 0; i < 3; i++) verifier.verify(signed({ nonce: `nonce-${i}-000` }), now);
  const error = assertThrows(() => verifier.verify(signed(), now), CdnError);
  assertEquals([error.status, error.retry], [503, true]);
  assertStringIncludes(refusal(signed({ nonce: "nonce-0-000" }), verifier), "played already");
  const later = now + 2 * REPLAY_WINDOW_MS + 1;
  verifier.verify(signed({ at: later }), later);
});

Deno.test("a stranger's wrong signatures do not fill the table", () => {
  const verifier = new SignatureVerifier(key, { nonces: new Nonces({ most: 1 }) });
  for (let i = 0; i < 5; i++) {
    const given = signed();
    given.headers.set("signature", `metacdn=:${btoa("x".repeat(32))}:`);
    refusal(given, verifier);
  }
  verifier.verify(signed(), now);
});

Deno.test("nonces differ, and a fingerprint does not tell the key", () => {
  assertNotEquals(randomNonce(), randomNonce());
  assertEquals(keyFingerprint(key), sha256(key).slice(0, 8));
});
