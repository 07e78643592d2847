/**
 * A body that is not here, for somebody who waits for it: as it comes in from another server. Whole bodies go through
 * the flight that brings them here anyway; what lies far behind in a large one, and what there is no room for, only
 * passes.
 */
import { createHash, type Hash } from "node:crypto";
import { CdnError, type Manifest } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";
import type { Network, Peer } from "./ports.ts";
import type { Puller } from "./pull.ts";
import type { ClusterSettings } from "./settings.ts";

/** What reading through works with. */
export interface ReadThroughOptions {
  puller: Pick<Puller, "follow">;
  network: Network;
  settings: ClusterSettings;
  signal: AbortSignal;
  /** Servers that may hold a body, best first. */
  sources: (size: number) => Peer[];
  /** A server sent something other than the body. */
  onWrong: (id: string, reason: string) => void;
}

type Part = { size: number; start: number; end: number };

/** A range that starts so far behind what is here of a large body is fetched by itself. */
const FAR_BYTES = 8 << 20;

/** Reads bodies through other servers. */
export class ReadThrough {
  readonly #options: ReadThroughOptions;

  constructor(options: ReadThroughOptions) {
    this.#options = options;
  }

  /**
   * The bytes from `start` up to `end`.
   * @throws {CdnError} 503 where nobody can give them.
   */
  async body(
    { sha256, size, path }: Manifest,
    { start, end }: { start: number; end: number },
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const far = size >= this.#options.settings.largeBytes && start > FAR_BYTES;
    const part: Part = { size, start, end };
    const chunks = far ? this.#passThrough(sha256, part) : this.#followOrPass(sha256, part);
    const first = await chunks.next().catch((cause) => {
      throw new CdnError(`Cannot read the body of ${path}: ${words(cause)}`, {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 1,
        cause,
      });
    });
    return streamOf(first, chunks);
  }

  /** As it comes in; where there is no room for it here, it only passes. */
  async *#followOrPass(sha256: string, { size, start, end }: { size: number; start: number; end: number }) {
    const hash = start === 0 && end === size ? createHash("sha256") : null;
    let at = start;
    try {
      for await (const chunk of this.#options.puller.follow(sha256, { size, start, end })) {
        hash?.update(chunk);
        at += chunk.byteLength;
        yield chunk;
      }
      return;
    } catch (error) {
      if (!(error instanceof CdnError) || error.status !== 507) throw error;
    }
    yield* this.#passThrough(sha256, { size, start: at, end, hash });
  }

  /** @param range.hash of all before `start`, where the whole is wanted: its end is given only if it is the right one */
  async *#passThrough(
    sha256: string,
    { size, start, end, hash = null }: { size: number; start: number; end: number; hash?: Hash | null },
  ) {
    const { network, settings, signal, sources, onWrong } = this.#options;
    let reason: unknown = new CdnError("no server that can be reached holds it", { source: "peer", retry: true });
    for (const { id, url } of sources(end - start)) {
      let at = start;
      try {
        const body = await network.openBody(url, {
          sha256,
          start,
          idleMs: settings.pullIdleMs,
          signal,
        });
        if (body.start !== start || (body.size !== null && body.size !== size)) {
          await body.chunks[Symbol.asyncIterator]().return?.(undefined);
          continue;
        }
        for await (const chunk of body.chunks) {
          const part = chunk.slice(0, end - at);
          at += part.byteLength;
          hash?.update(part);
          if (hash && at >= end && hash.digest("hex") !== sha256) {
            if (start === 0) onWrong(id, `sent a wrong body: the bytes are not those of ${sha256}`);
            throw new CdnError(`${url} sent a wrong body`, { source: "peer", retry: true });
          }
          if (part.byteLength > 0) yield part;
          if (at >= end) return;
        }
        throw new CdnError(`${url} ended the body too early`, { source: "peer", retry: true });
      } catch (error) {
        if (at > start) throw error; // something was given already: the reader comes again
        reason = error;
      }
    }
    throw reason;
  }
}

function streamOf(
  first: IteratorResult<Uint8Array>,
  rest: AsyncGenerator<Uint8Array>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let next: IteratorResult<Uint8Array> | null = first;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const step = next ?? await rest.next();
      next = null;
      if (step.done) controller.close();
      // A copy: what a reader of a file or of the network gives is good only until the next one.
      else controller.enqueue(step.value.slice());
    },
    async cancel() {
      await rest.return(undefined);
    },
  }, { highWaterMark: 0 });
}
