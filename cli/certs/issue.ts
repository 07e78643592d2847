/** `metacdn certs issue ID`: a server's certificate. */
import { decodeBase64Url } from "@std/encoding/base64url";
import { CertsFolder, issueCertificate, makeIdentity, makeKeyPair, randomSerial } from "../../certs/mod.ts";
import { parseCommand, stringFlag, switchFlag, UsageError } from "../../runtime/flags.ts";
import { identityKeyFrom } from "../../runtime/identity_key.ts";
import type { Command } from "../command.ts";
import { DAY_MS, daysFlag, dirFlag, idOf, namesFlag, namesOf } from "./flags.ts";

const spec = {
  name: "certs issue",
  summary: "Issues a server's certificate: it binds the server's key to its id and the names that it is called by.",
  flags: {
    dir: dirFlag,
    name: namesFlag("the DNS names and IP addresses that clients call it by"),
    days: daysFlag,
    "public-key": stringFlag(
      "KEY",
      null,
      "the server's own identity key (Ed25519, 32 bytes, base64url); no key is made",
    ),
    browsers: switchFlag("a P-256 key for TLS beside the identity key, for browsers; takes --public-key"),
  },
  positional: { placeholder: "ID", least: 1 },
  examples: [
    ["metacdn certs issue a --name a.example.net,10.0.0.1", "a.pem and a.key, an Ed25519 key that is new or was there"],
    [
      "metacdn certs issue a --name a.example.net --public-key 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
      "a.pem alone, for a server that keeps its own key",
    ],
  ] as [string, string][],
  notes: [
    "Chromium takes no Ed25519 certificate (Deno and curl do): viewers' browsers come by a proxy with a",
    "certificate from metacdn certs acme, or by a server with one that was issued with --browsers.",
  ],
};

export const issue: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { dir, name, days, browsers, "public-key": given } = parsed.flags;
  const id = idOf(parsed.args);
  const names = namesOf(name);
  if (names.length === 0) throw new UsageError("--name is missing: what clients call the server by");
  if (browsers && given === null) {
    throw new UsageError("--browsers takes --public-key: the identity key is elsewhere then");
  }
  const folder = new CertsFolder(dir);
  const nowMs = Date.now();
  const ca = folder.readCa(nowMs);
  const { publicKey, tlsKey, key } = given === null ? await ownIdentity(folder, id) : {
    publicKey: decodeKey(given),
    ...(browsers ? await browserKey() : { tlsKey: null, key: null }),
  };
  const options = { ca, id, names, publicKey, tlsKey, nowMs, lifeMs: days * DAY_MS };
  await folder.write(id, await issueCertificate({ ...options, serial: randomSerial() }), key);
  console.log(`wrote ${folder.file(id, "pem")}${key === null ? "" : ` and ${folder.file(id, "key")}`}`);
  return 0;
};

/** The key that is there stays: with it the server stays the one that others know. */
async function ownIdentity(folder: CertsFolder, id: string) {
  const old = folder.readKey(id);
  const identity = old === null ? await makeIdentity() : { key: old, publicKey: identityKeyFrom(old).publicKey };
  return { ...identity, tlsKey: null };
}

async function browserKey() {
  const { key, publicKey } = await makeKeyPair("P-256");
  return { key, tlsKey: publicKey };
}

function decodeKey(text: string): Uint8Array {
  try {
    const bytes = decodeBase64Url(text.replaceAll("+", "-").replaceAll("/", "_").replace(/=$/, ""));
    if (bytes.length === 32) return bytes;
  } catch { /* said below */ }
  throw new UsageError("--public-key must be 32 bytes as base64url, 43 characters");
}
