/** `metacdn certs`: certificates for our servers, from our own authority, and for viewers, from a public one. */
import { UsageError } from "../runtime/flags.ts";
import type { Command } from "./command.ts";

/** Loaded only when asked for: the library for ACME reads the environment as it loads. */
const actions: Record<string, { summary: string; load: () => Promise<Command> }> = {
  init: { summary: "make the authority", load: async () => (await import("./certs/init.ts")).init },
  issue: { summary: "issue a server's certificate", load: async () => (await import("./certs/issue.ts")).issue },
  renew: { summary: "issue it again for a new time", load: async () => (await import("./certs/renew.ts")).renew },
  show: { summary: "list them all", load: async () => (await import("./certs/show.ts")).show },
  acme: {
    summary: "get one that viewers' browsers know, from a public authority",
    load: async () => (await import("./certs/acme.ts")).acme,
  },
};

/** Does one action; resolves to the exit status. */
export const certs: Command = async ([name, ...rest], input) => {
  if (name === undefined || name === "--help" || name === "-h") {
    console.log(overview());
    return 0;
  }
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (!action) throw new UsageError(`"${name}" is not an action; there are ${Object.keys(actions).join(", ")}`);
  return await (await action.load())(rest, input);
};

function overview(): string {
  return [
    "Certificates: an authority of our own for servers, and a public one for what viewers see.\n",
    "Usage: metacdn certs ACTION [flags]\n",
    ...Object.entries(actions).map(([name, { summary }]) => `  metacdn certs ${name.padEnd(6)} ${summary}`),
    "\nExamples:",
    "  metacdn certs init && metacdn certs issue a --name a.example.net,10.0.0.1",
    "      an authority, and a certificate for server a, in ./.metacdn/certs",
    "  metacdn certs renew --all",
    "      each day, from cron: renews what has less than 30 days left",
    "\nmetacdn certs ACTION --help says more.",
  ].join("\n");
}
