/** Several isolates that answer on one port, kept alive; the kernel spreads connections over them (SO_REUSEPORT). */
import { CdnError } from "../proto/mod.ts";
import type { Secrets } from "../runtime/guard.ts";
import type { ListenAddress } from "../runtime/listen.ts";
import type { Logger } from "../runtime/log.ts";
import type { Observation } from "./forwarding.ts";
import type { ProxyTls } from "./create.ts";
import type { FromWorker, ToWorker, WorkerTls } from "./messages.ts";
import type { ProxySettings } from "./settings.ts";
import type { View } from "./view.ts";

/** A worker that died is replaced after so long, in milliseconds. */
const RESTART_MS = 500;

/** What a {@link Workers} needs. */
export interface WorkersOptions {
  count: number;
  address: ListenAddress;
  settings: ProxySettings;
  secrets: Secrets;
  pseudonym: string;
  view(): View;
  tls?: ProxyTls;
  observe(observation: Observation): void;
  log: Logger;
  /** A new isolate that runs `worker.ts`; tests put in others. */
  spawn?: () => Worker;
}

/** A set of workers. */
export class Workers {
  readonly #options: WorkersOptions;
  readonly #spawn: () => Worker;
  readonly #running = new Set<Worker>();
  readonly #restarts = new Set<ReturnType<typeof setTimeout>>();
  #address: ListenAddress;
  #closing = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#address = options.address;
    this.#spawn = options.spawn ??
      (() => new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module", name: "proxy" }));
  }

  /**
   * Starts them all; resolves to the port once each listens. With port 0 the first one chooses.
   * @throws {CdnError} where one cannot listen.
   */
  async start(): Promise<number> {
    const { count, address } = this.#options;
    const port = await this.#begin();
    this.#address = { ...address, port };
    await Promise.all(Array.from({ length: count - 1 }, () => this.#begin()));
    return port;
  }

  /** Sends each the newest view. */
  show(view: View): void {
    for (const worker of this.#running) send(worker, { kind: "view", view });
  }

  /** Sends each what changed of the certificates. */
  showTls(tls: Partial<WorkerTls>): void {
    for (const worker of this.#running) send(worker, { kind: "tls", tls });
  }

  #tls(): WorkerTls {
    const { ca, viewers } = this.#options.tls ?? {};
    return { ca: ca?.current ?? null, viewers: viewers?.current ?? null };
  }

  /** Ends them all, when they have answered what they have, or after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const timer of this.#restarts) clearTimeout(timer);
    await Promise.all([...this.#running].map((worker) => this.#end(worker, graceMs)));
  }

  #begin(): Promise<number> {
    const { settings, secrets, pseudonym, view, observe, log } = this.#options;
    const worker = this.#spawn();
    this.#running.add(worker);
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        switch (data.kind) {
          case "listening":
            return resolve(data.port);
          case "failed":
            this.#forget(worker);
            return reject(new CdnError(data.message, { source: "server" }));
          case "observed":
            for (const observation of data.observations) observe(observation);
            if (data.sizes.length === 0) return;
            for (const other of this.#running) {
              if (other !== worker) send(other, { kind: "sizes", sizes: data.sizes });
            }
            return;
          case "log":
            return log[data.level](data.message, data.fields);
        }
      };
      worker.onerror = (event) => {
        event.preventDefault();
        if (!this.#running.has(worker)) return;
        this.#forget(worker);
        log.error("a worker died", { why: event.message });
        reject(new CdnError(`A worker died: ${event.message}`, { source: "server" }));
        this.#restart();
      };
      send(worker, {
        kind: "start",
        address: this.#address,
        settings,
        secrets,
        pseudonym,
        view: view(),
        tls: this.#tls(),
      });
    });
  }

  /** Only once the port is known: a worker that dies before has failed the start. */
  #restart(): void {
    if (this.#closing || this.#address.port === 0) return;
    const timer = setTimeout(async () => {
      this.#restarts.delete(timer);
      try {
        await this.#begin();
        this.#options.log.info("a worker was started again");
      } catch (error) {
        this.#options.log.error("cannot start a worker again", { why: (error as Error).message });
        this.#restart();
      }
    }, RESTART_MS);
    this.#restarts.add(timer);
  }

  async #end(worker: Worker, graceMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const before = worker.onmessage;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs + 1000);
      worker.onmessage = (event: MessageEvent<FromWorker>) => {
        if (event.data.kind === "stopped") resolve();
        else before?.call(worker, event);
      };
      send(worker, { kind: "stop", graceMs });
    });
    clearTimeout(timer);
    this.#forget(worker);
  }

  #forget(worker: Worker): void {
    this.#running.delete(worker);
    worker.terminate();
  }
}

function send(worker: Worker, message: ToWorker): void {
  worker.postMessage(message);
}
