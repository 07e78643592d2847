/** One content server as a real process, which may be killed, stopped, emptied, and started again where it was. */
import { assert } from "@std/assert";
import { join } from "@std/path";
import { wire } from "../../../proto/mod.ts";
import { PeerClient } from "../../../runtime/peer_client.ts";
import { commandLine, plainEnv } from "../../cli/program.ts";
import { eventually } from "../../kit/mod.ts";

/** How to run one. */
export interface NodeOptions {
  id: string;
  /** Its data folder. */
  data: string;
  logFile: string;
  /** Flags beside its id, folder, address and peers. */
  flags?: readonly string[];
  /** Words before the command: `ip netns exec NAME`. */
  within?: readonly string[];
  /** Where it listens; a free port of loopback, which it keeps, unless given. */
  listen?: string;
  /** Where we reach it, if not where it says that it listens. */
  url?: string;
  token?: string;
  clusterKey?: string;
}

/** A slow, shared machine: what takes so long is broken. */
export const PATIENCE_MS = 120_000;

/** A server that runs, or does not. */
export class Node implements AsyncDisposable {
  readonly #options: NodeOptions;
  readonly #client: PeerClient;
  #child: Deno.ChildProcess | null = null;
  #reading: Promise<unknown> = Promise.resolve();
  #url: string;
  #id: string;
  /** How often it was started. */
  generation = 0;
  /** Once it has said so, until it is ended. */
  ready = false;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#url = options.url ?? "";
    this.#id = options.id;
    this.#client = new PeerClient({ token: options.token ?? null, source: "server" });
  }

  get id(): string {
    return this.#id;
  }

  /** The next start is that of another server, at the same address. */
  set id(id: string) {
    this.#id = id;
  }

  get data(): string {
    return this.#options.data;
  }

  get url(): string {
    return this.#url;
  }

  get isUp(): boolean {
    return this.#child !== null;
  }

  /** Starts it with the addresses of others (and flags for this once), and waits until it listens. */
  async start(peers: readonly string[] = [], flags: readonly string[] = []): Promise<void> {
    assert(this.#child === null, `${this.id} runs already`);
    const { data, logFile, within = [], listen, url, token = "", clusterKey = "" } = this.#options;
    const id = this.#id;
    const address = listen ?? (this.#url === "" ? "127.0.0.1:0" : new URL(this.#url).host);
    const [program, ...words] = [
      ...within,
      Deno.execPath(),
      ...commandLine("server", [
        ...["--id", id, "--data", data, "--listen", address],
        ...(peers.length > 0 ? ["--peers", peers.join(",")] : []),
        ...(this.#options.flags ?? []),
        ...flags,
      ]),
    ];
    const child = new Deno.Command(program!, {
      args: words,
      env: { ...plainEnv, METACDN_TOKEN: token, METACDN_CLUSTER_KEY: clusterKey, METACDN_SUPERVISED: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const log = await Deno.open(logFile, { create: true, append: true });
    const listening = Promise.withResolvers<string>();
    const output = (async () => {
      let text = "";
      for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
        const found = /^listening (\S+)$/m.exec(text += piece);
        if (found) listening.resolve(found[1]!);
      }
    })();
    const errors = (async () => {
      using file = log;
      for await (const piece of child.stderr) await file.write(piece); // appended whole: a file takes all of it
    })();
    this.#reading = Promise.all([output, errors, child.status]);
    child.status.then(({ code }) => listening.reject(new Error(`${id} ended with ${code}:\n${this.tail()}`)));
    this.#child = child;
    try {
      const said = await listening.promise;
      if (url === undefined) this.#url = said;
    } catch (error) {
      await this.#gone();
      throw error;
    }
    this.generation++;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#signal("SIGKILL");
    await this.#gone();
  }

  /** SIGTERM, until it has ended by itself; resolves with its status. */
  async stop(): Promise<number> {
    const child = this.#child;
    this.#signal("SIGTERM");
    await this.#gone();
    return (await child?.status)?.code ?? 0;
  }

  /** Takes away all that its data folder holds. */
  async wipe(): Promise<void> {
    assert(this.#child === null, `${this.id} runs`);
    for await (const { name } of Deno.readDir(this.data)) await Deno.remove(join(this.data, name), { recursive: true });
  }

  /** Its view of all servers, itself first. */
  async servers(): Promise<wire.Server[]> {
    return (await this.#client.ask(`${this.#url}/-/v1/servers`, wire.ServerListSchema)).servers;
  }

  /** What it says that would be lost. */
  durability(): Promise<wire.Durability> {
    return this.#client.ask(`${this.#url}/-/v1/durability`, wire.DurabilitySchema, { timeoutMs: PATIENCE_MS });
  }

  /** How it sees another one; "" where that is not on its list. */
  async stateOf(id: string): Promise<string> {
    return (await this.servers()).find((server) => server.id === id)?.health?.state ?? "";
  }

  /** The text of `/-/readyz`, with the status before it where that is not 200. */
  async readiness(): Promise<string> {
    const answer = await this.fetch("/-/readyz");
    const text = await answer.text();
    return answer.ok ? text : `${answer.status} ${text}`;
  }

  /** Waits until it answers for all content. */
  async whenReady(): Promise<void> {
    await eventually(async () => (await this.readiness()).startsWith("ok\n"), {
      what: `${this.id} being ready`,
      deadlineMs: PATIENCE_MS,
      everyMs: 50,
    });
    this.ready = this.isUp;
  }

  /** `fetch` of a path of it, with the token where there is one. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#options.token) headers.set("authorization", `Bearer ${this.#options.token}`);
    return fetch(`${this.#url}${path}`, { signal: AbortSignal.timeout(PATIENCE_MS), ...init, headers });
  }

  /** The last 30 lines of its log. */
  tail(): string {
    try {
      return Deno.readTextFileSync(this.#options.logFile).trimEnd().split("\n").slice(-30).join("\n");
    } catch {
      return "";
    }
  }

  /** All that it logged. */
  log(): string {
    return Deno.readTextFileSync(this.#options.logFile);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child) await this.kill();
  }

  #signal(name: Deno.Signal): void {
    this.ready = false;
    try {
      this.#child?.kill(name);
    } catch { /* gone already */ }
  }

  async #gone(): Promise<void> {
    const child = this.#child;
    await this.#reading.catch(() => {});
    await child?.stdin.close().catch(() => {});
    this.#child = null;
  }
}
