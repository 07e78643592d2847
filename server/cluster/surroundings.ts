/** What whatever runs by itself is given of the world, beside its ports: so it runs in a simulation as in a server. */
import type { Logger } from "../../runtime/log.ts";
import type { Schedule } from "./wake.ts";

/** Time, chance, timers, a log, and the end. */
export interface Surroundings {
  /** In milliseconds. */
  now: () => number;
  /** From 0 up to 1. */
  random: () => number;
  schedule: Schedule;
  log: Logger;
  /** Aborts when the server closes. */
  signal: AbortSignal;
}
