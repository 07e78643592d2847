/** One run of a machine's process: from its start until it is closed or crashes. */
import type { Schedule } from "../../server/cluster/wake.ts";
import type { World } from "./world.ts";

/** When the stories begin: any time that is not near 0, for clocks may be years off. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);

/** A machine's clock, by which its process reads the time and waits. */
export class MachineClock {
  /** How far ahead of the true time it is; it may be set while the process runs. */
  skewMs = 0;
  /** How much faster it runs, as a share. */
  drift = 0;

  constructor(readonly world: World) {}

  /** Whole milliseconds since 1970, as this machine believes. */
  now(): number {
    return Math.floor(EPOCH_MS + this.world.nowMs * (1 + this.drift) + this.skewMs);
  }
}

/**
 * A process. Whatever it waits for comes through here (timers, disk, network); once it is dead nothing comes any more,
 * and so its code stands still for ever at the place where it waited, as if the power had gone.
 */
export class Life {
  alive = true;

  constructor(readonly world: World, readonly clock: MachineClock) {}

  /** Its timers. */
  readonly schedule: Schedule = (action, ms) =>
    this.world.after(ms / (1 + this.clock.drift), () => {
      if (this.alive) action();
    });

  /** Resolves after true `ms`, or never. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.world.after(ms, () => {
        if (this.alive) resolve();
      });
    });
  }

  /** Never resolves: for what a dead process would still do within the step in which it died. */
  async stop(): Promise<void> {
    if (!this.alive) await new Promise<never>(() => {});
  }

  end(): void {
    this.alive = false;
  }
}
