/** Certificates from files that change under a program that runs. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { CdnError } from "../../proto/mod.ts";
import { type LogFields, silentLogger } from "../../runtime/log.ts";
import { checkCaCertificates, checkTlsPair, type TlsPair } from "../../runtime/tls_pair.ts";
import { openTlsFiles } from "../../runtime/tls_source.ts";
import { DAY_MS, newCa, newServer, NOW_MS } from "../certs/kit.ts";
import { tempDir } from "../kit/mod.ts";

const ca = await newCa();

Deno.test("files are read again when they change; what is of no use is logged, and the pair before stays", async () => {
  await using dir = await tempDir();
  const files = { cert: join(dir.path, "a.pem"), key: join(dir.path, "a.key") };
  // Each in a second of its own: two writes in one millisecond, of texts of one length, show in nothing that is looked at.
  let second = 1_000_000;
  const put = (file: string, text: string) => {
    Deno.writeTextFileSync(file, text);
    Deno.utimeSync(file, ++second, second);
  };
  const write = ({ cert, key }: TlsPair) => {
    put(files.cert, cert);
    put(files.key, key);
  };
  const one = await newServer(ca);
  write(one);
  const errors: string[] = [];
  const log = { ...silentLogger, error: (_: string, fields: LogFields = {}) => errors.push(String(fields.error)) };
  using source = openTlsFiles(files, { log, now: () => NOW_MS });
  const heard: TlsPair[] = [];
  const ignore = source.onChange((pair) => heard.push(pair));
  const current = () => ({ cert: source.current.cert, key: source.current.key });
  const pair = ({ cert, key }: TlsPair) => ({ cert, key });
  assertEquals(current(), pair(one));
  source.check();
  assertEquals(heard, []);

  // Half of a renewal: the new certificate is there, its key is not.
  const two = await newServer(ca);
  put(files.cert, two.cert);
  source.check();
  assertEquals([heard.length, current()], [0, pair(one)]);
  assertStringIncludes(errors.pop()!, "the key does not belong to the certificate");
  put(files.key, two.key);
  source.check();
  assertEquals([heard, current()], [[pair(two)], pair(two)]);

  const bad: [TlsPair, string][] = [
    [await newServer(ca, { nowMs: NOW_MS - 91 * DAY_MS }), "expired at"],
    [await newServer(ca, { nowMs: NOW_MS + DAY_MS }), "not valid before"],
    [{ cert: "garbage", key: two.key }, "no certificate in PEM"],
    [{ cert: two.cert, key: "" }, "not a private key"],
  ];
  for (const [next, why] of bad) {
    write(next);
    source.check();
    assertStringIncludes(errors.pop()!, why);
    assertEquals([heard.length, current()], [1, pair(two)]);
  }
  Deno.removeSync(files.key);
  source.check();
  assertStringIncludes(errors.pop()!, `Cannot read ${files.key}`);
  write(two);
  source.check();
  assertEquals([heard.length, errors], [1, []], "the same as before is no change");

  ignore();
  write(one);
  source.check();
  assertEquals([heard.length, current()], [1, pair(one)]);
});

Deno.test("a change is noticed without being told", async () => {
  await using dir = await tempDir();
  const files = { cert: join(dir.path, "a.pem"), key: join(dir.path, "a.key") };
  const [one, two] = [await newServer(ca), await newServer(ca)];
  Deno.writeTextFileSync(files.cert, one.cert);
  Deno.writeTextFileSync(files.key, one.key);
  using source = openTlsFiles(files, { log: silentLogger, now: () => NOW_MS, everyMs: 5 });
  const heard = Promise.withResolvers<TlsPair>();
  source.onChange(heard.resolve);
  Deno.writeTextFileSync(files.cert, two.cert);
  Deno.writeTextFileSync(files.key, two.key);
  const waiting = setTimeout(() => heard.reject(new Error("no change was heard of")), 20_000);
  assertEquals((await heard.promise).cert, two.cert);
  clearTimeout(waiting);
});

Deno.test("a program does not start with files that are of no use, or missing", async () => {
  await using dir = await tempDir();
  const files = { cert: join(dir.path, "a.pem"), key: join(dir.path, "a.key") };
  const open = () => openTlsFiles(files, { log: silentLogger, now: () => NOW_MS });
  assertThrows(open, CdnError, `Cannot read ${files.cert}`);
  const { key } = await newServer(ca);
  Deno.writeTextFileSync(files.cert, (await newServer(ca)).cert);
  Deno.writeTextFileSync(files.key, key);
  assertThrows(open, CdnError, "the key does not belong to the certificate");
  Deno.truncateSync(files.cert, 2 ** 40);
  assertThrows(open, CdnError, "bytes are too many");
});

Deno.test("what is no pair is refused by name, however large", async () => {
  const { cert, key } = await newServer(ca);
  checkTlsPair({ cert: cert + ca.certificate, key }, NOW_MS);
  const begin = "-----BEGIN CERTIFICATE-----\n", end = "\n-----END CERTIFICATE-----\n";
  const wrong: [TlsPair, string][] = [
    [{ cert: begin + "A".repeat(64 << 20) + end, key }, "too large"],
    [{ cert, key: "k".repeat(64 << 20) }, "too large"],
    [{ cert: `${begin}AAAA${end}`, key }, "cannot be read"],
    [{ cert: cert + `${begin}AAAA${end}`, key }, "cannot be read"],
    [{ cert: key, key }, "no certificate in PEM"],
    [{ cert, key: cert }, "not a private key"],
    [{ cert, key: key.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA") }, "not a private key"],
    [{ cert: ca.certificate, key }, "does not belong"],
  ];
  for (const [pair, why] of wrong) assertThrows(() => checkTlsPair(pair, NOW_MS), CdnError, why);
});

Deno.test("CA certificates are each looked at", async () => {
  const other = await newCa("other");
  assertEquals(checkCaCertificates(`words\n${ca.certificate}${other.certificate}`).length, 2);
  const { cert } = await newServer(ca);
  assertThrows(() => checkCaCertificates(cert), CdnError, "no CA");
  assertThrows(() => checkCaCertificates(ca.certificate + cert), CdnError, "no CA");
  assertThrows(() => checkCaCertificates("garbage"), CdnError, "no certificate in PEM");
});
