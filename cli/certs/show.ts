/** `metacdn certs show`: what there is. */
import { type CertificateFacts, CertsFolder, readCertificate } from "../../certs/mod.ts";
import { parseCommand } from "../../runtime/flags.ts";
import type { Command } from "../command.ts";
import { DAY_MS, dirFlag } from "./flags.ts";

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
  if (ca) rows.unshift(row("CA", ca.facts.issuer, readCertificate(ca.certificate)));
  const widths = [0, 1, 2].map((column) => Math.max(0, ...rows.map((cells) => cells[column]!.length)));
  for (const cells of rows) console.log(cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ").trimEnd());
  return Promise.resolve(0);
};

function row(name: string, names: string, { notAfterMs, fingerprint }: CertificateFacts): string[] {
  const days = Math.floor((notAfterMs - Date.now()) / DAY_MS);
  return [name, names, days < 0 ? "expired" : `${days} days left`, fingerprint];
}
