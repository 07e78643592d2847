/** `metacdn certs show`: what there is. */
import { type CertificateFacts, CertsFolder } from "../../certs/mod.ts";
import { parseCommand } from "../../runtime/flags.ts";
import type { Command } from "../command.ts";
import { columns } from "../table.ts";
import { daysLeft, dirFlag } from "./flags.ts";

const spec = {
  name: "certs show",
  summary: "Lists the authority and the certificates: names, days left, fingerprints (SHA-256).",
  flags: { dir: dirFlag },
  examples: [["metacdn certs show", "a line each"]] as [string, string][],
};

export const show: Command = (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return Promise.resolve(0);
  }
  const folder = new CertsFolder(parsed.flags.dir);
  const rows = folder.list().map(({ name, facts }) => row(name, facts.names.join(","), facts));
  const ca = folder.read("ca");
  if (ca) rows.unshift(row("CA", ca.facts.issuer, ca.facts));
  for (const line of columns([], rows)) console.log(line);
  return Promise.resolve(0);
};

function row(name: string, names: string, facts: CertificateFacts): string[] {
  const days = daysLeft(facts, Date.now());
  return [name, names, days < 0 ? "expired" : `${days} days left`, facts.fingerprint];
}
