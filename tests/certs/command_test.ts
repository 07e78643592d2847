/** `metacdn certs` as its users run it. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { encodeBase64Url } from "@std/encoding/base64url";
import { join } from "@std/path";
import { makeIdentity, readCertificate, verifyPeerCertificate } from "../../certs/mod.ts";
import { certs } from "../../cli/certs.ts";
import { systemInput } from "../../cli/command.ts";
import { CdnError } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { checkTlsPair } from "../../runtime/tls_pair.ts";
import { runToEnd } from "../cli/program.ts";
import { tempDir } from "../kit/mod.ts";
import { der } from "./kit.ts";

/** A folder, and the command in it. */
async function workplace() {
  const dir = await tempDir();
  return {
    dir: join(dir.path, "certs"),
    file: (name: string) => join(dir.path, "certs", name),
    read: (name: string) => Deno.readTextFileSync(join(dir.path, "certs", name)),
    names: () => [...Deno.readDirSync(join(dir.path, "certs"))].map(({ name }) => name).sort(),
    run: (action: string, ...args: string[]) => runToEnd("certs", [action, "--dir", join(dir.path, "certs"), ...args]),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

Deno.test("init, issue, show, renew: a server's certificate is believed, and keeps its key", async () => {
  await using place = await workplace();
  const { run, read, file } = place;
  assertEquals(await run("init"), { code: 0, stderr: "", stdout: `wrote ${file("ca.pem")} and ${file("ca.key")}\n` });
  const issued = await run("issue", "a", "--name", "localhost,127.0.0.1", "--name", "a.example.net");
  assertEquals(issued, { code: 0, stderr: "", stdout: `wrote ${file("a.pem")} and ${file("a.key")}\n` });
  assertEquals(place.names(), ["a.key", "a.pem", "ca.key", "ca.pem"]);
  for (const key of ["a.key", "ca.key"]) assertEquals(Deno.statSync(file(key)).mode! & 0o777, 0o600);

  const first = readCertificate(read("a.pem"));
  assertEquals(first.names, ["localhost", "127.0.0.1", "a.example.net"]);
  const believed = () => verifyPeerCertificate(der(read("a.pem")), [der(read("ca.pem"))], Date.now(), { id: "a" });
  assertEquals(believed().publicKey, first.publicKey);
  checkTlsPair({ cert: read("a.pem"), key: read("a.key") }, Date.now());

  const shown = await run("show");
  assertMatch(shown.stdout, /^CA +CN=metacdn CA +36\d\d days left +[0-9a-f]{64}\n/);
  assertMatch(shown.stdout, new RegExp(`^a +localhost,127.* 89 days left +${first.fingerprint}$`, "m"));

  assertMatch((await run("renew", "--all")).stdout, /^kept .*a\.pem: 89 days left\n$/);
  assertEquals(readCertificate(read("a.pem")).serial, first.serial);
  assertEquals((await run("renew", "--all", "--before", "90", "--days", "200")).stdout, `renewed ${file("a.pem")}\n`);
  const second = readCertificate(read("a.pem"));
  assertNotEquals(second.serial, first.serial);
  assertEquals([second.names, believed().publicKey], [first.names, first.publicKey]);

  const again = await run("issue", "a", "--name", "b.example.net");
  assertEquals(again.code, 0, again.stderr);
  assertEquals(readCertificate(read("a.pem")).names, ["b.example.net"]);
  assertEquals(believed().publicKey, first.publicKey, "with other names the key is still the one");
});

Deno.test("a server that keeps its own key gets a certificate for it, and one with a key for browsers", async () => {
  await using place = await workplace();
  const { run, read, file } = place;
  const { publicKey } = await makeIdentity();
  await run("init", "--name", "Our CA");
  const issued = await run("issue", "a", "--name", "localhost", "--public-key", encodeBase64Url(publicKey));
  assertEquals(issued, { code: 0, stderr: "", stdout: `wrote ${file("a.pem")}\n` });
  assertEquals(readCertificate(read("a.pem")).publicKey, publicKey);
  assertEquals(place.names(), ["a.pem", "ca.key", "ca.pem"]);
  const browsers = await run(
    "issue",
    "b",
    "--name",
    "localhost",
    "--browsers",
    "--public-key",
    encodeBase64Url(publicKey),
  );
  assertEquals(browsers.code, 0, browsers.stderr);
  assertEquals([readCertificate(read("b.pem")).publicKey, readCertificate(read("b.pem")).hasTlsKey], [publicKey, true]);
  checkTlsPair({ cert: read("b.pem"), key: read("b.key") }, Date.now());
});

Deno.test("what makes no sense is refused, and changes nothing", async () => {
  await using place = await workplace();
  const { read } = place;
  const run = (action: string, ...args: string[]) => certs([action, "--dir", place.dir, ...args], systemInput);
  const refused = async (part: string, ...args: [string, ...string[]]) => {
    const error = await assertRejects(() => run(...args), Error);
    // Either makes exit status 2 (cli/run.ts).
    assert(error instanceof UsageError || error instanceof CdnError && error.source === "client", String(error));
    assertEquals(error.message.split("\n").length, 1);
    assertStringIncludes(error.message, part);
  };
  await refused("There is no CA in", "issue", "a", "--name", "localhost");
  await refused("Cannot read", "show");
  await place.run("init");
  const ca = read("ca.key");
  await refused("There is a CA in", "init");
  assertEquals(read("ca.key"), ca);
  await refused('"explode" is not an action', "explode");
  await refused("ID is missing", "issue");
  await refused("one word too many", "issue", "a", "b", "--name", "localhost");
  await refused("--name is missing", "issue", "a");
  await refused("neither a DNS name nor an IP address", "issue", "a", "--name", "a_b");
  await refused("is no id of a server", "issue", "../a", "--name", "localhost");
  await refused("cannot be a server's id here", "issue", "ca", "--name", "localhost");
  await refused("--days", "issue", "a", "--name", "localhost", "--days", "0");
  await refused("--public-key must be 32 bytes", "issue", "a", "--name", "localhost", "--public-key", "AAAA");
  await refused("--browsers takes --public-key", "issue", "a", "--name", "localhost", "--browsers");
  await refused("renew takes an ID, or --all", "renew");
  await refused("renew takes an ID, or --all", "renew", "a", "--all");
  await refused("there is no certificate of a", "renew", "a");
  await refused("--name is missing", "acme", "--terms-agreed");
  await refused("cannot be proved by HTTP", "acme", "--terms-agreed", "--name", "10.0.0.1");
  await refused("cannot be proved by HTTP", "acme", "--terms-agreed", "--name", "*.example.com");
  await refused("--directory must be an https:// URL", "acme", "--name", "a.example.com", "--directory", "http://x");
  await refused("--ca-file: cannot read", "acme", "--name", "a.example.com", "--terms-agreed", "--ca-file", "/none");
  assertEquals(place.names(), ["ca.key", "ca.pem"]);
  Deno.writeTextFileSync(place.file("ca.key"), (await makeIdentity()).key);
  const error = await assertRejects(() => run("issue", "a", "--name", "localhost"), CdnError);
  assertStringIncludes(error.message, "ca.pem with its key: the key does not belong to the certificate");
  Deno.writeTextFileSync(place.file("x.pem"), "garbage");
  await refused("x.pem: There is no certificate in PEM", "show");
});

Deno.test("help says what each action is for, its flags, and shows examples", async () => {
  const overview = await runToEnd("certs", []);
  for (const action of ["init", "issue", "renew", "show", "acme"]) {
    assertStringIncludes(overview.stdout, `metacdn certs ${action}`);
    const { code, stdout, stderr } = await runToEnd("certs", [action, "--help"]);
    assertEquals([code, stderr], [0, ""]);
    for (const part of [`Usage: metacdn certs ${action} [flags]`, "--dir DIR", "Examples:"]) {
      assertStringIncludes(stdout, part);
    }
  }
  assert(overview.stdout.includes("Examples:"));
});
