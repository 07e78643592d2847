/** The pricing servers: prices are asked of one that answers, usage is told to each. */
import { type Codec, wire } from "../proto/mod.ts";
import type { Logger } from "../runtime/log.ts";
import type { PeerClient } from "../runtime/peer_client.ts";
import { words } from "../runtime/words.ts";
import { Fallbacks } from "./fallbacks.ts";
import type { UsageMeter } from "./usage.ts";

/** What {@link PricingServers} works with. */
export interface PricingServersOptions {
  urls: readonly string[];
  peers: Pick<PeerClient, "ask" | "send">;
  /** What reports are written in. */
  codec: Codec;
  /** How long one that did not answer is asked only after the others. */
  avoidMs: number;
  now: () => number;
  log: Logger;
}

/** How long one of them may take. */
const TIMEOUT_MS = 5000;

/** Several that hold the same, any of which may be away. */
export class PricingServers {
  readonly #options: PricingServersOptions;
  readonly #fallbacks: Fallbacks;
  /** The one that answered last is asked first. */
  #first: string | null = null;

  constructor(options: PricingServersOptions) {
    this.#options = options;
    this.#fallbacks = new Fallbacks(options.avoidMs);
  }

  /**
   * Asks them in turn.
   * @throws {Error} that says why each of them did not answer.
   */
  async quote(question: wire.QuoteRequest, signal: AbortSignal): Promise<wire.QuoteAnswer> {
    const { peers, now } = this.#options;
    return await this.#fallbacks.first(this.#lastFirst(), async (url) => {
      const answer = await peers.ask(`${url}/-/v1/quotes`, wire.QuoteAnswerSchema, {
        question: [wire.QuoteRequestSchema, question],
        timeoutMs: TIMEOUT_MS,
        signal,
      });
      this.#first = url;
      return answer;
    }, { now, signal });
  }

  /**
   * Tells each what it lacks, the one that prices are asked of first. One that failed lately waits its time where
   * another one has it all: the count is safe there. It does not throw.
   * @param onFirst called once one of them has everything
   */
  async report(usage: UsageMeter, signal: AbortSignal, onFirst: () => void): Promise<void> {
    const { now, log } = this.#options;
    let arrived = false;
    for (const url of this.#fallbacks.order(this.#lastFirst(), now())) {
      if (arrived && this.#fallbacks.isAvoided(url, now())) continue;
      try {
        for (const { report, sent } of usage.pending(url)) {
          await this.#send(url, report, signal);
          sent();
          this.#fallbacks.answered(url);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#fallbacks.failed(url, now());
        log.debug("cannot report usage", { why: words(error) });
        continue;
      }
      if (!arrived) onFirst();
      arrived = true;
    }
  }

  async #send(url: string, report: wire.UsageReport, signal: AbortSignal): Promise<void> {
    const { peers, codec } = this.#options;
    const response = await peers.send({
      method: "POST",
      url: `${url}/-/v1/usage`,
      headers: { "content-type": codec.mediaType, "accept": codec.mediaType },
      body: codec.encode(wire.UsageReportSchema, report),
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    await response.body?.cancel();
  }

  /** The one that answered last before the others. */
  #lastFirst(): string[] {
    const { urls } = this.#options;
    const [first, others] = [true, false].map((is) => urls.filter((url) => (url === this.#first) === is));
    return [...first!, ...others!];
  }
}
