/** `Network` between simulated machines: everything is encoded, sent, lost, doubled, and decoded as if it were real. */
import type { DescMessage } from "@bufbuild/protobuf";
import { CdnError, protobufCodec } from "../../proto/mod.ts";
import { type Answer, type CallName, calls, type Question } from "../../server/cluster/calls.ts";
import type { IncomingBody, Network } from "../../server/cluster/ports.ts";
import { join } from "./disk_store.ts";
import type { Life } from "./life.ts";
import type { Link, Links } from "./links.ts";
import { between, chance } from "./prng.ts";
import type { Process } from "./process.ts";
import type { World } from "./world.ts";

/** One end of lines: a machine, as the network sees it. */
export interface Station {
  id: string;
  /** The running process; null where nothing listens. */
  process: { life: Life; answers: Process } | null;
  /** Without a process: does its machine refuse at once (it is on), or is there silence? */
  refuses: boolean;
}

/** Told of each message that arrives, for the transcript. */
export type OnMessage = (what: string, from: string, to: string, bytes: number) => void;

/** All stations. */
export class Net {
  readonly #stations = new Map<string, Station>();

  constructor(readonly world: World, readonly links: Links, readonly onMessage: OnMessage) {}

  add(url: string, station: Station): void {
    this.#stations.set(url, station);
  }

  /** The port of one process on `from`. */
  port(from: string, life: Life): Network {
    return {
      ask: (url, name, question, options) => new Call(this, from, life, url).ask(name, question, options),
      openBody: (url, options) => new Call(this, from, life, url).openBody(options),
      smallBodies: (url, bodies, { timeoutMs, signal }) =>
        new Call(this, from, life, url).smallBodies(bodies, { idleMs: timeoutMs, signal }),
    };
  }

  station(url: string): Station | null {
    return this.#stations.get(url) ?? null;
  }

  /**
   * Sends something; `arrive` runs where it arrives, and again where it is doubled.
   * @returns false where the line is cut or loses it: nobody is told.
   */
  send(link: Link, bytes: number, arrive: () => void): boolean {
    link.traffic.messages++;
    link.traffic.bytes += bytes;
    const { random, weather } = link;
    if (chance(random, weather.doubled)) this.#arrive(link, link.delay(bytes) * 3, arrive);
    if (link.isCut || chance(random, weather.lost)) return false;
    this.#arrive(link, link.delay(bytes), arrive);
    return true;
  }

  /** What is under way when the line is cut does not arrive. */
  #arrive(link: Link, ms: number, arrive: () => void): void {
    const { healings } = link;
    this.world.after(ms, () => {
      if (!link.isCut && link.healings === healings) arrive();
    });
  }
}

/** The real one; that a schema and its message belong together, the table of calls says. */
const codec = protobufCodec as {
  encode(schema: DescMessage, message: unknown): Uint8Array<ArrayBuffer>;
  // deno-lint-ignore no-explicit-any -- whatever the schema says
  decode(schema: DescMessage, bytes: Uint8Array): any;
};

type Settle<T> = { resolve: (value: T) => void; reject: (error: unknown) => void };

/** One question of one process to one URL. */
class Call {
  readonly #there: Link;
  readonly #back: Link;
  readonly #station: Station | null;

  constructor(readonly net: Net, readonly from: string, readonly life: Life, readonly url: string) {
    this.#station = net.station(url);
    const to = this.#station?.id ?? "nowhere";
    this.#there = net.links.get(from, to);
    this.#back = net.links.get(to, from);
  }

  ask<Name extends CallName>(
    name: Name,
    question: Question<Name>,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<Answer<Name>> {
    const schemas = calls[name];
    const bytes = codec.encode(schemas.question, question);
    return this.#bounded(timeoutMs, signal, (settle) => {
      this.#send(name, bytes.length, settle, async ({ answers }) => {
        const message = codec.decode(schemas.question, bytes.slice());
        const answer = await answers.answer(name, message, this.from);
        const answered = codec.encode(schemas.answer, answer);
        this.#reply(`${name} answered`, answered.length, () => {
          try {
            settle.resolve(codec.decode(schemas.answer, answered.slice()));
          } catch (cause) {
            settle.reject(peerError(`Cannot understand the answer of ${this.url}: ${words(cause)}`, 502, false));
          }
        });
      });
    });
  }

  openBody(
    { sha256, start, idleMs, signal }: { sha256: string; start: number; idleMs: number; signal: AbortSignal },
  ): Promise<IncomingBody> {
    return this.#bounded(idleMs, signal, (settle: Settle<IncomingBody>) => {
      this.#send("body", 200, settle, async (process) => {
        const body = await process.answers.openBody(sha256, start);
        if (!body) throw peerError("it is not held", 404, false);
        this.#reply("body begins", 200, () => {
          // The head may have come too late, or twice: then nobody reads, and nothing is read.
          settle.resolve({ start, size: body.size, chunks: this.#chunks(body.stream, process.life, idleMs, signal) });
        });
      });
    });
  }

  /** One after the other, each with the faults of a body by itself; what breaks off ends it, as one answer would. */
  async smallBodies(
    bodies: readonly { sha256: string; size: number }[],
    { idleMs, signal }: { idleMs: number; signal: AbortSignal },
  ): Promise<(Uint8Array<ArrayBuffer> | null)[]> {
    const brought: (Uint8Array<ArrayBuffer> | null)[] = bodies.map(() => null);
    for (const [at, { sha256 }] of bodies.entries()) {
      try {
        const parts = await Array.fromAsync((await this.openBody({ sha256, start: 0, idleMs, signal })).chunks);
        brought[at] = join(parts);
      } catch (error) {
        if (!(error instanceof CdnError) || error.status !== 404) break;
      }
    }
    return brought;
  }

  /** The body as it comes in: read over there as it is asked for here. */
  async *#chunks(
    stream: ReadableStream<Uint8Array>,
    there: Life,
    idleMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const reader = stream.getReader();
    const { random } = this.#back;
    try {
      while (true) {
        const piece = await this.#next(reader, there, idleMs, signal);
        if (!piece) return;
        for (let at = 0; at < piece.length;) {
          const { weather, traffic } = this.#back;
          const chunk = piece.slice(at, at += between(random, 512, 8192));
          if (chance(random, weather.corrupt)) {
            chunk[between(random, 0, chunk.length - 1)]! ^= 1 << between(random, 0, 7);
          }
          const stall = chance(random, weather.stalled) ? idleMs * 2 * random() : 0;
          traffic.bodyBytes += chunk.length;
          await this.#bounded<void>(idleMs, signal, (settle) => {
            this.net.world.after(this.#back.delay(chunk.length) + stall, () => {
              if (!this.life.alive) return;
              if (!there.alive || chance(random, weather.broken)) settle.reject(this.#unreachable("it broke off"));
              else if (!this.#back.isCut) settle.resolve();
            });
          });
          yield chunk;
        }
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  /** The next piece as it is read on the other machine, while that one runs. */
  #next(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    there: Life,
    idleMs: number,
    signal: AbortSignal,
  ): Promise<Uint8Array | null> {
    return this.#bounded(idleMs, signal, ({ resolve, reject }) => {
      if (!there.alive) return reject(this.#unreachable("it broke off"));
      reader.read().then(
        ({ value, done }) => resolve(done ? null : value),
        () => reject(this.#unreachable("it broke off")), // the other side can only reset the connection
      );
    });
  }

  /** What settles in time, here; everything else is a `CdnError`, as the real client throws it. */
  #bounded<T>(timeoutMs: number, signal: AbortSignal, begin: (settle: Settle<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const end = () => {
        cancel();
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        end();
        reject(this.#unreachable(words(signal.reason)));
      };
      const cancel = this.life.schedule(() => {
        end();
        reject(this.#unreachable("no answer in time"));
      }, timeoutMs);
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort);
      begin({
        resolve: (value) => {
          end();
          if (this.life.alive) resolve(value);
        },
        reject: (error) => {
          end();
          if (this.life.alive) reject(error);
        },
      });
    });
  }

  /** Brings the request over; `work` runs in the process over there, and what it throws goes back. */
  #send(
    what: string,
    bytes: number,
    { reject }: { reject: (error: unknown) => void },
    work: (process: NonNullable<Station["process"]>) => Promise<void>,
  ): void {
    const station = this.#station;
    const there = this.#there;
    const arrived = this.net.send(there, bytes, () => {
      const process = station?.process;
      if (!process) {
        if (station?.refuses ?? true) {
          this.#reply("refused", 0, () => reject(this.#unreachable("connection refused")));
        }
        return;
      }
      this.net.onMessage(what, this.from, station.id, bytes);
      work(process).catch((error) => {
        if (!process.life.alive) return;
        const status = error instanceof CdnError ? error.status : 500;
        const retry = status >= 500 || status === 408 || status === 429;
        this.#reply(
          `${what}: ${status}`,
          100,
          () => reject(peerError(`${this.url} answered ${status}: ${words(error)}`, status, retry)),
        );
        if (!(error instanceof CdnError)) this.net.world.fail(error);
      });
    });
    // Some losses are noticed at once (a reset connection), most only by the time that passes.
    if (!arrived && chance(there.random, 0.2)) {
      this.net.world.after(there.delay(0), () => reject(this.#unreachable("connection reset")));
    }
  }

  #reply(what: string, bytes: number, arrive: () => void): void {
    this.net.send(this.#back, bytes, () => {
      if (!this.life.alive) return;
      this.net.onMessage(what, this.#station?.id ?? "nowhere", this.from, bytes);
      arrive();
    });
  }

  #unreachable(why: string): CdnError {
    return peerError(`Cannot reach ${this.url}: ${why}`, 502, true);
  }
}

function peerError(message: string, status: number, retry: boolean): CdnError {
  return new CdnError(message, { source: "peer", status, retry });
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
