/** Who was refused as a peer, and why, in the log: an operator wants to know of a stranger, and of a wrong certificate. */
import { CdnError, OWN_PREFIX, splitTarget } from "../proto/mod.ts";
import type { Logger } from "../runtime/log.ts";

/** A peer that is refused asks again each second: the same is said once in so long, in milliseconds. */
const SILENCE_MS = 600_000;
/** So many different lines in that time: strangers must not fill the disk. */
const MOST_LINES = 50;

/** Logs what peers are refused for. */
export class Refusals {
  readonly #log: Logger;
  readonly #said = new Set<string>();
  #sinceMs = -Infinity;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Says so where `error` refuses a request of a peer for want of proof (401). */
  note(request: Pick<Request, "url">, error: unknown, { from, nowMs }: { from: string; nowMs: number }): void {
    if (!(error instanceof CdnError) || error.status !== 401) return;
    if (!splitTarget(request.url).path.startsWith(`${OWN_PREFIX}v1/peer/`)) return;
    if (nowMs - this.#sinceMs >= SILENCE_MS) {
      this.#said.clear();
      this.#sinceMs = nowMs;
    }
    const line = `${from} ${error.message}`;
    if (this.#said.has(line) || this.#said.size >= MOST_LINES) return;
    this.#said.add(line);
    this.#log.warn("refused a peer", { from, why: error.message });
  }
}
