/** `metacdn certs renew`: the same certificates for a new time. */
import { CertsFolder, randomSerial, renewCertificate } from "../../certs/mod.ts";
import { numberFlag, parseCommand, switchFlag, UsageError } from "../../runtime/flags.ts";
import type { Command } from "../command.ts";
import { DAY_MS, daysFlag, daysLeft, dirFlag, idOf } from "./flags.ts";

const spec = {
  name: "certs renew",
  summary: "Issues servers' certificates again, with the same keys and names. Servers take them while they run.",
  flags: {
    dir: dirFlag,
    all: switchFlag("every server's, in place of one ID"),
    before: numberFlag("DAYS", 30, "only those that have fewer days left than this; an expired one always", {
      least: 0,
      most: 36_500,
    }),
    days: daysFlag,
  },
  positional: { placeholder: "[ID]", least: 0 },
  examples: [
    ["metacdn certs renew --all", "each day, from cron: whatever has less than 30 days left"],
    ["metacdn certs renew a --before 3650", "that of a, however much time it has left"],
  ] as [string, string][],
};

export const renew: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { dir, all, before, days } = parsed.flags;
  if (all === parsed.args.length > 0) throw new UsageError("renew takes an ID, or --all");
  const folder = new CertsFolder(dir);
  const nowMs = Date.now();
  const ca = folder.readCa(nowMs);
  for (const { name, certificate, facts } of all ? ours(folder) : [one(folder, idOf(parsed.args))]) {
    const left = daysLeft(facts, nowMs);
    if (left >= before) {
      console.log(`kept ${folder.file(name, "pem")}: ${left} days left`);
      continue;
    }
    const renewed = { ca, certificate, nowMs, lifeMs: days * DAY_MS, serial: randomSerial() };
    await folder.write(name, await renewCertificate(renewed), null);
    console.log(`renewed ${folder.file(name, "pem")}`);
  }
  return 0;
};

/** Those from a public authority are none of ours. */
function ours(folder: CertsFolder) {
  return folder.list().filter(({ facts }) => facts.id !== null);
}

function one(folder: CertsFolder, id: string) {
  const kept = folder.read(id);
  if (!kept) throw new UsageError(`there is no certificate of ${id} in ${folder.path}`);
  return kept;
}
