/** Servers as real processes, with data folders on a real disk, and what an experiment asks of them. */
import { type Program, startProgram } from "../kit.ts";

/** What everybody in an experiment shares: requests between servers are signed, as they are in earnest. */
export const TOKEN = "bench-token-0123456789abcdef0123456789";
/** The environment of a server. */
export const SECRETS: Record<string, string> = {
  METACDN_TOKEN: TOKEN,
  METACDN_CLUSTER_KEY: "bench-cluster-key-0123456789abcdef0123456789",
};

/** How a server is started. */
export interface ServerOptions {
  id: string;
  /** Its data folder. */
  data: string;
  peers?: string[];
  /** Where it runs (`network.ts`), and the address it listens on; this machine, on loopback, unless given. */
  machine?: { prefix: string[]; address: string };
  flags?: string[];
  /** Of the runtime. */
  runtime?: string[];
}

/** A server that runs. */
export interface Server extends Program {
  id: string;
  data: string;
}

/** Starts `metacdn server`; its log goes to standard error. */
export async function startServer(
  { id, data, peers = [], machine, flags = [], runtime = [] }: ServerOptions,
): Promise<Server> {
  const address = machine?.address ?? "127.0.0.1";
  const program = await startProgram(
    [
      ...runtime,
      "-P=server",
      "--v8-flags=--max-semi-space-size=4", // as `deno task server`
      "main.ts",
      "server",
      ...["--listen", `${address}:0`, "--id", id, "--data", data, "--log-level", "warn", "--scrub-rate", "0"],
      ...(peers.length ? ["--peers", peers.join(",")] : []),
      ...flags,
    ],
    SECRETS,
    machine?.prefix,
  );
  return Object.assign(program, { id, data });
}

let client: Deno.HttpClient | null = null;

/** From now on, requests trust a CA (PEM). */
export function trust(ca: string): void {
  client = Deno.createHttpClient({ caCerts: [ca], http2: false });
}

/** A request with the operator's token; throws for any answer but a good one. */
export async function ask(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${TOKEN}`, ...(init.headers as Record<string, string>) };
  const response = await fetch(url, { ...init, headers, ...(client && { client }) });
  if (!response.ok) throw new Error(`${url} answered ${response.status} ${await response.text()}`);
  return response;
}

/** Puts an object; resolves when it is acknowledged. */
export async function put(url: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  await (await ask(url, { method: "PUT", body })).body?.cancel();
}

/** What a server says of itself and the others. */
interface Listed {
  id: string;
  health: { state: string; content?: { objects?: string; wantedObjects?: string } };
}

async function listOf(server: { url: string }): Promise<Listed[]> {
  return (await (await ask(`${server.url}/-/v1/servers`)).json()).servers;
}

/** Resolves when each of them sees all the others alive. */
export async function untilJoined(servers: readonly Server[]): Promise<void> {
  for (const server of servers) {
    await until(`${server.id} sees all`, async () => {
      const alive = (await listOf(server)).filter(({ health }) => health.state === "alive");
      return alive.length === servers.length - 1;
    });
  }
}

/** Objects that a server holds: known, and not wanted. */
export async function heldBy(server: { id: string; url: string }): Promise<number> {
  const own = (await listOf(server)).find(({ id }) => id === server.id)!;
  return Number(own.health.content?.objects ?? 0) - Number(own.health.content?.wantedObjects ?? 0);
}

/** Waits for something that a server or its folder tells, asked every few milliseconds. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  { everyMs = 20, mostMs = 600_000 } = {},
): Promise<void> {
  for (const begin = performance.now(); !await holds();) {
    if (performance.now() - begin > mostMs) throw new Error(`${what}: not within ${mostMs} ms`);
    await new Promise((done) => setTimeout(done, everyMs));
  }
}

/** Grows with each object that a server makes visible: by then it is on disk. To look costs the server nothing. */
export function journalBytes({ data }: { data: string }): number {
  return Deno.statSync(`${data}/store/journal.ndjson`).size;
}

/** Bytes that do not compress. */
export function noise(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}
