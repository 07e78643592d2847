/** What purging needs of the cluster. */
import type { wire } from "../../proto/mod.ts";
import type { Answer, CallName, Question } from "../cluster/calls.ts";

/** The other servers. */
export interface PurgeMembers {
  /** All on the list, ourselves first, each with its health. */
  servers(): wire.Server[];
  /** Asks another one. @throws {CdnError} where it does not answer. */
  ask<Name extends CallName>(
    url: string,
    name: Name,
    question: Question<Name>,
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<Answer<Name>>;
}
