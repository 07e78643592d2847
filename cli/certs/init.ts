/** `metacdn certs init`: makes the authority. */
import { CertsFolder, makeCa, randomSerial } from "../../certs/mod.ts";
import { numberFlag, parseCommand, patternFlag } from "../../runtime/flags.ts";
import type { Command } from "../command.ts";
import { DAY_MS, dirFlag } from "./flags.ts";

const spec = {
  name: "certs init",
  summary: "Makes an authority of our own, whose certificates servers and clients of ours believe.",
  flags: {
    dir: dirFlag,
    name: patternFlag("NAME", "metacdn CA", "what it is called", /^[\x20-\x7e]{1,64}$/, "1 to 64 ASCII characters"),
    days: numberFlag("N", 3650, "how long it lives, in days", { least: 1, most: 36_500 }),
  },
  examples: [
    ["metacdn certs init", "ca.pem, which everybody may have, and ca.key, in ./.metacdn/certs"],
    ["metacdn certs init --dir /etc/metacdn --name 'Example CA'", "somewhere else, and with a name"],
  ] as [string, string][],
  notes: ["Keep ca.key away from the servers: whoever has it can pose as any of them. They need ca.pem only."],
};

export const init: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { dir, name, days } = parsed.flags;
  const folder = new CertsFolder(dir);
  await folder.writeCa(await makeCa({ name, nowMs: Date.now(), lifeMs: days * DAY_MS, serial: randomSerial() }));
  console.log(`wrote ${folder.file("ca", "pem")} and ${folder.file("ca", "key")}`);
  return 0;
};
