/** Whether it is us: a server that hears nobody at all is more likely cut off than alone with the dead. */
import type { Swim } from "./swim.ts";
import { suspicionMs, type SwimSettings } from "./swim_settings.ts";

/** Periods of silence after which we take ourselves to be cut off; each had a ping of ours, and as a rule one to us. */
const PERIODS = 8;

/** Listens for silence. Times are of the steady clock. */
export class CutOff {
  readonly #options: { swim: Swim; settings: SwimSettings };
  #heardMs = 0;
  #cut = false;

  constructor(options: { swim: Swim; settings: SwimSettings }) {
    this.#options = options;
  }

  /** True from the moment in which the silence was too long until somebody is heard. */
  get isCut(): boolean {
    return this.#cut;
  }

  /** Somebody was heard. @returns since when nobody was, where we were cut off; else null */
  heard(nowMs: number): number | null {
    const since = this.#cut ? this.#heardMs : null;
    [this.#heardMs, this.#cut] = [nowMs, false];
    return since;
  }

  /** True where we find now that we are cut off. */
  watch(nowMs: number): boolean {
    const { swim, settings } = this.#options;
    if (swim.in("alive", "suspect", "dead", "unknown").length === 0) this.#heardMs = nowMs;
    if (this.#cut) return false;
    this.#cut = nowMs - this.#heardMs >= Math.max(suspicionMs(swim.size, settings), PERIODS * settings.pingMs);
    return this.#cut;
  }

  /** For how long nobody was heard; null where we are not cut off. */
  silentMs(nowMs: number): number | null {
    return this.#cut ? nowMs - this.#heardMs : null;
  }
}
