/** Runs one command, and turns what it throws into one line and an exit status. */
import { CdnError } from "../proto/mod.ts";
import { UsageError } from "../runtime/flags.ts";
import { VERSION } from "../runtime/version.ts";
import { type Command, systemInput } from "./command.ts";

/** Loaded only when asked for, so that each command starts fast and asks for no permission of another. */
const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  up: {
    summary: "the whole thing on this machine, for trying and for showing",
    load: async () => (await import("./up/up.ts")).up,
  },
  server: { summary: "a content server", load: async () => (await import("./server.ts")).server },
  pricing: {
    summary: "what each cloud charges for the next byte",
    load: async () => (await import("./pricing.ts")).pricing,
  },
  prices: { summary: "read and change prices", load: async () => (await import("./prices.ts")).prices },
  proxy: {
    summary: "routes each request by network, price, or both",
    load: async () => (await import("./proxy.ts")).proxy,
  },
  servers: {
    summary: "show and change the list of servers",
    load: async () => (await import("./servers.ts")).servers,
  },
  edge: {
    summary: "shows how an edge fares: hit ratios, cache, origins",
    load: async () => (await import("./edge_status.ts")).edge,
  },
  purge: {
    summary: "take stored responses out of the caches of all servers",
    load: async () => (await import("./purge.ts")).purge,
  },
  doctor: {
    summary: "what is wrong, and what would be lost if something broke",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  certs: { summary: "certificates for servers and for viewers", load: async () => (await import("./certs.ts")).certs },
  upload: { summary: "upload files", load: async () => (await import("./upload.ts")).upload },
};

/**
 * Runs `metacdn ARGS…` and resolves to its exit status: 0 done, 1 failed, 2 wrong command line.
 */
export async function run(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args[0] === "help" && args.length > 1 ? [args[1]!, "--help"] : args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    console.log(overview());
    return 0;
  }
  if (name === "--version" || name === "version") {
    console.log(`metacdn ${VERSION}`);
    return 0;
  }
  const entry = commands[name];
  if (!entry) {
    console.error(
      `metacdn: unknown command "${name}"; there are ${Object.keys(commands).join(", ")} (see metacdn help)`,
    );
    return 2;
  }
  try {
    return await (await entry.load())(rest, systemInput);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`metacdn ${name}: ${error.message} (see metacdn ${name} --help)`);
      return 2;
    }
    if (error instanceof CdnError) {
      console.error(`metacdn ${name}: ${error.message}`);
      return error.source === "client" ? 2 : 1;
    }
    throw error;
  }
}

function overview(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  metacdn ${name.padEnd(10)} ${summary}`);
  return [
    "metacdn: a meta-CDN that you run yourself, on servers at several clouds.\n",
    ...rows,
    "\nmetacdn COMMAND --help says more.",
  ].join("\n");
}
