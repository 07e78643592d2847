/** `metacdn certs acme`: a certificate that viewers' browsers know. */
import {
  ChallengeResponder,
  defaultDirectory,
  makeAcmeKey,
  orderCertificate,
  stagingDirectory,
} from "../../certs/acme.ts";
import { CertsFolder, checkFree } from "../../certs/mod.ts";
import { hostName } from "../../certs/names.ts";
import {
  addressFlag,
  numberFlag,
  parseCommand,
  patternFlag,
  stringFlag,
  switchFlag,
  UsageError,
} from "../../runtime/flags.ts";
import { listen } from "../../runtime/listen.ts";
import { createLogger } from "../../runtime/log.ts";
import type { Command } from "../command.ts";
import { daysLeft, dirFlag, namesFlag, namesOf } from "./flags.ts";

const ACCOUNT = "acme-account";

const spec = {
  name: "certs acme",
  summary: "Gets a certificate from a public authority (ACME), when there is none or it is due. Run it each day.",
  flags: {
    dir: dirFlag,
    name: namesFlag("the DNS names that viewers use; the first names the files"),
    email: patternFlag("ADDRESS", null, "where the authority writes to", /^[^\s@]+@[^\s@]+$/, "an e-mail address"),
    directory: patternFlag("URL", defaultDirectory, "the authority", /^https:\/\/[^\s@]+$/, "an https:// URL"),
    staging: switchFlag("the authority's stage for trying, in place of --directory: browsers do not believe it"),
    listen: addressFlag(":80", "where the authority's question is answered; it comes to port 80 of each name"),
    before: numberFlag("DAYS", 30, "renew when fewer days than this are left", { least: 0, most: 3650 }),
    "terms-agreed": switchFlag("you agree to the authority's terms of service"),
    "ca-file": stringFlag("FILE", null, "CA certificates to believe the authority by, for test authorities"),
  },
  examples: [
    [
      "metacdn certs acme --name cdn.example.com --email ops@example.com --terms-agreed",
      "cdn.example.com.pem and .key in ./.metacdn/certs; a proxy there takes new ones while it runs",
    ],
    ["metacdn certs acme --name cdn.example.com --terms-agreed --staging", "a try, which counts against no limit"],
  ] as [string, string][],
};

export const acme: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { flags } = parsed;
  const names = namesOf(flags.name).map(dnsName);
  const [first] = names;
  if (first === undefined) throw new UsageError("--name is missing: the names that viewers use");
  const folder = new CertsFolder(flags.dir);
  checkFree(first);
  const kept = folder.read(first)?.facts;
  if (kept && kept.id !== null) throw new UsageError(`${folder.file(first, "pem")} is that of a server of ours`);
  const left = kept ? daysLeft(kept, Date.now()) : 0;
  const covers = kept !== undefined && names.every((name) => kept.names.includes(name));
  if (covers && left >= flags.before) {
    console.log(`kept ${folder.file(first, "pem")}: ${left} days left`);
    return 0;
  }
  if (!flags["terms-agreed"]) throw new UsageError("--terms-agreed is missing: read the authority's terms of service");
  const caCertificates = flags["ca-file"] === null ? null : readFile(flags["ca-file"], input.readTextFile);

  const accountKey = folder.readKey(ACCOUNT) ?? await makeAcmeKey();
  await folder.writeKey(ACCOUNT, accountKey);
  const responder = new ChallengeResponder();
  // It tells strangers only what they are meant to hear, so no token has to guard it.
  const listening = listen(flags.listen, responder.handler, { log: createLogger({ program: "certs" }), token: "" });
  try {
    const directoryUrl = flags.staging ? stagingDirectory : flags.directory;
    const order = { names, email: flags.email, directoryUrl, accountKey, responder, caCertificates };
    const { certificate, key } = await orderCertificate(order);
    await folder.write(first, certificate, key);
  } finally {
    await listening.close(1000);
  }
  console.log(`wrote ${folder.file(first, "pem")} and ${folder.file(first, "key")}`);
  return 0;
};

function dnsName(text: string): string {
  const { type, value } = hostName(text);
  if (type !== "dns" || value.startsWith("*")) throw new UsageError(`--name: ${text} cannot be proved by HTTP`);
  return value;
}

function readFile(path: string, readTextFile: (path: string) => string): string {
  try {
    return readTextFile(path);
  } catch (error) {
    throw new UsageError(`--ca-file: cannot read ${path}: ${(error as Error).message}`);
  }
}
