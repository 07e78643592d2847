/** Servers that talk TLS, as real processes, with certificates as the command makes them. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { CertsFolder } from "../../certs/mod.ts";
import { newCa, newServer } from "../certs/kit.ts";
import { Running, runToEnd } from "../cli/program.ts";
import { tempDir } from "../kit/mod.ts";
import { client } from "./clients.ts";

export const TOKEN = "correct-horse-battery-staple";
export const CLUSTER_KEY = "a-cluster-key-of-some-length";

/** One server that runs. */
export interface Server {
  id: string;
  url: string;
  running: Running;
}

/** A server of the list, as far as tests look at it. */
export type Listed = {
  id: string;
  url: string;
  publicKey: string;
  certificate?: string;
  health: { state: string; error?: string };
};

/** A folder with an authority, and what runs with its certificates. */
export class TlsCluster implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(readonly folder: string, stack: AsyncDisposableStack) {
    this.#stack = stack;
  }

  /** Makes the authority, and a certificate for each id. */
  static async start(ids: string[]): Promise<TlsCluster> {
    await using stack = new AsyncDisposableStack();
    const cluster = new TlsCluster(stack.use(await tempDir()).path, stack.move());
    const folder = new CertsFolder(cluster.certs);
    const nowMs = Date.now();
    const ca = await newCa("metacdn CA", nowMs);
    await folder.writeCa(ca);
    for (const id of ids) {
      const { cert, key } = await newServer(ca, { id, nowMs });
      await folder.write(id, cert, key);
    }
    return cluster;
  }

  get certs(): string {
    return join(this.folder, "certs");
  }

  get ca(): string {
    return join(this.certs, "ca.pem");
  }

  /** A program that ends with the cluster. */
  run(command: string, args: string[], env: Record<string, string> = {}): Running {
    return this.#stack.use(new Running(command, args, { env: { METACDN_TOKEN: TOKEN, ...env } }));
  }

  /** Starts a server, and resolves when it listens. */
  async server(
    id: string,
    { args = [], env = {}, tls = true }: { args?: string[]; env?: Record<string, string>; tls?: boolean } = {},
  ): Promise<Server> {
    const running = this.run("server", [
      ...["--id", id, "--data", join(this.folder, id), "--listen", "127.0.0.1:0", "--heartbeat", "200"],
      ...(tls ? ["--tls", "--certs", this.certs] : []),
      ...args,
    ], env);
    const [, url] = await running.line(/^listening (https?:\/\/\S+)$/m);
    return { id, url: url!, running };
  }

  /** What curl gets, trusting our authority alone; it throws for what is no success. */
  curl(url: string, ...args: string[]): Promise<string> {
    return client("curl", ["-sS", "--fail", "--max-time", "20", "--cacert", this.ca, ...args, url]);
  }

  /** The list of servers, as one of them has it. */
  async list(url: string): Promise<Listed[]> {
    const text = await this.curl(`${url}/-/v1/servers`, "-H", `Authorization: Bearer ${TOKEN}`);
    return (JSON.parse(text) as { servers: Listed[] }).servers;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** Runs `metacdn certs …`. */
export async function certs(...args: string[]): Promise<void> {
  const { code, stderr } = await runToEnd("certs", args);
  assertEquals(code, 0, stderr);
}

/** The ids of the others that a server calls alive, in order. */
export function alive(listed: readonly Listed[]): string[] {
  return listed.filter(({ health }) => health.state === "alive").map(({ id }) => id).sort();
}

/** Why a server is not called well, as another's list has it. */
export async function trouble(cluster: TlsCluster, url: string, id: string): Promise<string> {
  return (await cluster.list(url)).find((one) => one.id === id)?.health.error ?? "";
}
