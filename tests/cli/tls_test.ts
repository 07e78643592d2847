/** The flags for TLS: what is refused at the start, and clients that trust our CA. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { CertsFolder } from "../../certs/mod.ts";
import { DAY_MS, newCa, newServer } from "../certs/kit.ts";
import { tempDir } from "../kit/mod.ts";
import { Running, runToEnd } from "./program.ts";

const TOKEN = "correct-horse-battery-staple";
const now = Date.now();

/** A folder with an authority and certificates of a server "a". */
async function folderWith(path: string, options: Parameters<typeof newServer>[1] & { file?: string } = {}) {
  const folder = new CertsFolder(path);
  const ca = await newCa("test CA", now - 400 * DAY_MS);
  await Deno.mkdir(path, { recursive: true });
  await Deno.writeTextFile(folder.file("ca", "pem"), ca.certificate);
  const { file = "a", ...issued } = options;
  const { cert, key } = await newServer(ca, { id: "a", nowMs: now, ...issued });
  await folder.write(file, cert, key);
  return folder;
}

Deno.test("a server does not start with a certificate that others would refuse: one line says why, and what to do", async () => {
  await using dir = await tempDir();
  const at = (name: string) => join(dir.path, name);
  const none = await folderWith(at("none"), { file: "other" });
  const expired = await folderWith(at("expired"), { nowMs: now - 91 * DAY_MS });
  const others = await folderWith(at("others"), { id: "b" });
  const otherHost = await folderWith(at("host"), { names: ["elsewhere.example"] });
  const otherKey = await folderWith(at("key"));
  const names = Array.from({ length: 60 }, (_, n) => `${n}.${"long.".repeat(30)}example`);
  const long = await folderWith(at("long"), { names: ["127.0.0.1", ...names] });
  Deno.removeSync(otherKey.file("a", "key"));
  const noCa = await folderWith(at("no-ca"));
  Deno.removeSync(noCa.file("ca", "pem"));
  const good = await folderWith(at("good"));
  const table: [folder: CertsFolder, args: string[], says: string][] = [
    [none, [], `Cannot read ${none.file("a", "pem")}`],
    [expired, [], "expired at"],
    [others, [], "is the certificate of b, not of a"],
    [otherHost, [], "is for elsewhere.example, and others call this server by 127.0.0.1"],
    [good, ["--url", "https://a.example:8443"], "others call this server by a.example"],
    [long, [], "others take at most 8192: issue it anew with fewer names"],
    [otherKey, [], "binds a to another key than this server has: issue it anew with"],
    [noCa, [], `Cannot read ${noCa.file("ca", "pem")}`],
    [good, ["--peers", "http://127.0.0.1:1"], "with --tls every URL must be https://"],
    [good, ["--url", "http://127.0.0.1:1"], "with --tls every URL must be https://"],
    [good, ["--viewer-listen", "127.0.0.1:0"], "belong together"],
    [good, ["--viewer-cert", "x", "--viewer-key", "x"], "belong together"],
  ];
  // Another key in the data folder than the certificate binds: others know this server by that one.
  const plain = new Running("server", ["--id", "a", "--data", at("data"), "--listen", "127.0.0.1:0"]);
  {
    await using _ = plain;
    await plain.line(/^listening /m);
  }
  for (const [folder, args, says] of table) {
    const { code, stdout, stderr } = await runToEnd("server", [
      ...["--tls", "--certs", folder.path, "--id", "a", "--data", at("data"), "--listen", "127.0.0.1:0", ...args],
    ]);
    assertEquals([code, stdout, stderr.trim().split("\n").length], [2, "", 1], `${folder.path} ${args}: ${stderr}`);
    assertStringIncludes(stderr, says);
  }
});

Deno.test("a certificate to listen with needs its key, and both must be of use", async () => {
  await using dir = await tempDir();
  const folder = await folderWith(dir.path);
  const [cert, key] = [folder.file("a", "pem"), folder.file("a", "key")];
  const table: [args: string[], says: string][] = [
    [["--tls-cert", cert], "--tls-cert takes --tls-key"],
    [["--tls-key", key], "--tls-key takes --tls-cert"],
    [["--tls-cert", cert, "--tls-key", cert], "not a private key"],
    [["--tls-cert", join(dir.path, "x"), "--tls-key", key], `Cannot read ${join(dir.path, "x")}`],
  ];
  for (const command of ["pricing", "proxy"]) {
    const data = command === "pricing" ? ["--data", join(dir.path, "data")] : [];
    for (const [args, says] of table) {
      const { code, stderr } = await runToEnd(command, ["--listen", "127.0.0.1:0", ...data, ...args]);
      assertEquals([code, stderr.trim().split("\n").length], [2, 1], stderr);
      assertStringIncludes(stderr, says);
    }
  }
});

Deno.test("upload, servers, doctor and prices ask over TLS by --ca or METACDN_CA, and nobody without", async () => {
  await using dir = await tempDir();
  const folder = await folderWith(join(dir.path, "certs"));
  const ca = folder.file("ca", "pem");
  const [cert, key] = [folder.file("a", "pem"), folder.file("a", "key")];
  const env = { METACDN_TOKEN: TOKEN };
  const listen = ["--listen", "127.0.0.1:0"];
  await using server = new Running("server", [
    ...[...listen, "--tls", "--certs", folder.path, "--id", "a", "--data", join(dir.path, "a")],
  ], { env });
  await using pricing = new Running("pricing", [
    ...[...listen, "--tls-cert", cert, "--tls-key", key, "--data", join(dir.path, "pricing")],
  ], { env });
  const [, at] = await server.line(/^listening (https:\S+)$/m);
  const [, prices] = await pricing.line(/^listening (https:\S+)$/m);
  const file = join(dir.path, "x.txt");
  await Deno.writeTextFile(file, "uploaded over TLS");
  const table: [command: string, args: string[], says: RegExp][] = [
    ["upload", ["--server", at!, file], /^\/x\.txt {2}https:/],
    ["servers", ["--server", at!], /^a +https:.* self/m],
    ["doctor", ["--server", at!, "--pricing", prices!], /a's certificate is valid/],
    ["prices", ["--pricing", prices!, "get", "aws/us-east-1"], /"provider": "aws"/],
  ];
  for (const [command, args, says] of table) {
    const byFlag = await runToEnd(command, [...args, "--ca", ca], { env });
    const byEnv = await runToEnd(command, args, { env: { ...env, METACDN_CA: ca } });
    for (const { stdout, stderr } of [byFlag, byEnv]) assertMatch(stdout, says, stderr);
    if (command === "upload") continue; // it would try for long: a server may get another certificate
    const without = await runToEnd(command, args, { env });
    assertEquals(without.code, 1, without.stderr);
    assertStringIncludes(without.stdout + without.stderr, "UnknownIssuer");
  }
  for (const [command, args] of table) {
    const plain = args.map((arg) => arg.replace("https://127.0.0.1", "http://192.0.2.1"));
    const { code, stderr } = await runToEnd(command, [...plain, "--ca", ca], { env });
    assertEquals([code, stderr.trim().split("\n").length], [2, 1], stderr);
    assertStringIncludes(stderr, "a URL must be https://");
    const missing = await runToEnd(command, [...args, "--ca", join(dir.path, "none.pem")], { env });
    assertEquals(missing.code, 2, missing.stderr);
    assertStringIncludes(missing.stderr, "Cannot read");
  }
  assert(!server.stderr.includes(" ERROR "), server.stderr);
});
