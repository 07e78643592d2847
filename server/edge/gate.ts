/** Whether what is stored may be served: the contract between the edge and who knows of purges. */

/** What the edge asks before it looks into its cache. */
export interface ServingGate {
  /** Until when nothing may be served from the cache, for purges were missed; null where it may. */
  readonly waiting: Promise<void> | null;
  /** Responses that came before this (milliseconds since 1970) count as stale, for purges may be missing; 0: none. */
  readonly staleBeforeMs: number;
  /**
   * As {@link waiting}, for a request of a sibling that knows the purges of `stamp`; null: of anybody else.
   * It rejects with a `CdnError` 503 where the sibling knows purges that we cannot get.
   */
  waitingFor(stamp: string | null): Promise<void> | null;
}

/** Of an edge that is alone: it has missed nothing. */
export const openGate: ServingGate = { waiting: null, staleBeforeMs: 0, waitingFor: () => null };
