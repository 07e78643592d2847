/** Brings one purge to another server, and says what came of it. */
import { CdnError, type wire } from "../../proto/mod.ts";
import { backoffMs } from "../cluster/settings.ts";
import type { Surroundings } from "../cluster/surroundings.ts";
import { Wake } from "../cluster/wake.ts";
import type { PurgeMembers } from "./members.ts";
import { beginAt } from "./outcome.ts";
import type { PurgeSettings } from "./settings.ts";

/** What delivering works with. */
export interface DeliverOptions extends Surroundings {
  members: Pick<PurgeMembers, "ask">;
  settings: Pick<PurgeSettings, "askMs" | "deliverMs" | "backoff">;
  /** Milliseconds that never go back. */
  tick: () => number;
}

/**
 * Sends it until it is acknowledged, refused, or the time is over; to a server that counts as dead once only.
 * Never rejects.
 */
export async function deliver(
  order: wire.PurgeOrder,
  { id, url, state }: { id: string; url: string; state: string },
  { members, settings, tick, random, schedule, signal }: DeliverOptions,
): Promise<wire.PurgeOutcome> {
  const begun = beginAt({ id, state }, tick);
  const wake = new Wake(schedule);
  const tries = state === "dead" || state === "left" ? 1 : Infinity;
  for (let failures = 1;; failures++) {
    try {
      const { removed } = await members.ask(url, "purge", order, { timeoutMs: settings.askMs, signal });
      return begun.acknowledged(removed);
    } catch (error) {
      const isOver = failures >= tries || begun.tookMs() >= settings.deliverMs || signal.aborted;
      if (isOver || !(error instanceof CdnError && error.retry)) return begun.failed(error);
    }
    await wake.sleep(backoffMs(failures, settings.backoff, random), signal);
  }
}
