/** What is said once, however often it is seen. */
import type { Logger } from "../../runtime/log.ts";

/** Most things that are remembered; what comes beyond is counted in the summaries alone. */
const MOST = 1000;

/** What was said of each thing. */
export class Notes {
  readonly #said = new Map<string, string>();
  #full = false;

  constructor(readonly log: Logger) {}

  /** Says `message` of a thing, unless this was the last that was said of it. */
  say(level: "info" | "warn", about: string, message: string, fields: Record<string, unknown> = {}): void {
    if (this.#said.get(about) === message) return;
    if (this.#said.size >= MOST && !this.#said.has(about)) {
      if (!this.#full) this.log.warn("publishing has said this of many files; further ones are not named");
      this.#full = true;
      return;
    }
    this.#said.set(about, message);
    this.log[level](message, fields);
  }

  /** It is over: if it comes again, it is said again. */
  over(about: string): void {
    this.#said.delete(about);
  }
}
