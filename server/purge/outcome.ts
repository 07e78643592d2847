/** What came of a purge at one server, and how long that took. */
import { create } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";

/** Ways to say how it ended, once it has begun. */
export interface Begun {
  acknowledged(removed: bigint): wire.PurgeOutcome;
  failed(error: unknown): wire.PurgeOutcome;
  /** So far, in milliseconds. */
  tookMs(): number;
}

/** The longest reason that is told on. */
const MOST_CHARACTERS = 1000;

/** Begins to count. @param tick milliseconds that never go back */
export function beginAt({ id, state }: { id: string; state: string }, tick: () => number): Begun {
  const begun = tick();
  const tookMs = () => tick() - begun;
  return {
    tookMs,
    acknowledged: (removed) =>
      create(wire.PurgeOutcomeSchema, { id, state, tookMs: tookMs(), acknowledged: true, removed }),
    failed: (error) =>
      create(wire.PurgeOutcomeSchema, {
        id,
        state,
        tookMs: tookMs(),
        error: words(error).slice(0, MOST_CHARACTERS).toWellFormed(),
      }),
  };
}
