/**
 * What servers ask of each other: each call is a POST of one message to `/-/v1/peer/<name>`, answered by another.
 * Bodies are the exception: they are a GET (`endpoints/peers.ts`).
 */
import type { MessageShape } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";

/** The question and the answer of each call, by its name in the URL. */
export const calls = {
  /** The heartbeat, and news. */
  ping: { question: wire.PingSchema, answer: wire.PongSchema },
  /** Joining, and now and then the whole list both ways. */
  servers: { question: wire.ServerListSchema, answer: wire.ServerListSchema },
  /** "I hold these; take those that are news to you." */
  offers: { question: wire.OfferSchema, answer: wire.OfferAnswerSchema },
  /** Nodes of the digest tree. */
  tree: { question: wire.TreeQuestionSchema, answer: wire.TreeAnswerSchema },
  /** Manifests by key, or all below a node. */
  manifests: { question: wire.ManifestsQuestionSchema, answer: wire.ManifestPageSchema },
  /** How it stands to one version. */
  standing: { question: wire.StandingQuestionSchema, answer: wire.StandingSchema },
  /** What is known and not held. */
  lacks: { question: wire.LacksQuestionSchema, answer: wire.LacksPageSchema },
  /** "Purge this." */
  purge: { question: wire.PurgeOrderSchema, answer: wire.PurgeTakenSchema },
  /** What was purged, behind a place in the log. */
  purges: { question: wire.PurgesQuestionSchema, answer: wire.PurgesPageSchema },
} as const;

/** The name of a call. */
export type CallName = keyof typeof calls;
/** What is asked. */
export type Question<Name extends CallName> = MessageShape<(typeof calls)[Name]["question"]>;
/** What is answered. */
export type Answer<Name extends CallName> = MessageShape<(typeof calls)[Name]["answer"]>;
/** Asks the server at `url`; resolves with its checked answer. */
export type Ask = <Name extends CallName>(
  url: string,
  name: Name,
  question: Question<Name>,
  options: { timeoutMs: number; signal: AbortSignal },
) => Promise<Answer<Name>>;
