/** What this server answers to others, and who may ask: each in its own name, and what is known here only the listed. */
import { CdnError, versionFromWire } from "../../proto/mod.ts";
import type { Store } from "../store/store.ts";
import { standingOf } from "./abandon.ts";
import type { Answer, CallName, Question } from "./calls.ts";
import type { Catalog } from "./catalog.ts";
import type { Gossip } from "./gossip.ts";
import type { Purging } from "./ports.ts";
import type { Receiver } from "./receive.ts";
import type { Repair } from "./repair.ts";

/** The parts that answer. */
export interface AnswersOptions {
  gossip: Pick<Gossip, "answerPing" | "answerServers">;
  receiver: Pick<Receiver, "receive">;
  repair: Pick<Repair, "answerTree" | "answerManifests" | "answerLacks">;
  catalog: Pick<Catalog, "isWanted">;
  store: Pick<Store, "get" | "open">;
  purging: Pick<Purging, "take" | "list">;
  /** True for a server that is on the list. */
  isListed: (id: string) => boolean;
}

/** One function a call; `from` is who signed the question, null where nothing was proven. */
export type Answers = {
  [Name in CallName]: (question: Question<Name>, from: string | null) => Answer<Name> | Promise<Answer<Name>>;
};

/** Each throws a `CdnError` 403 where the one that asks may not, and beyond that what its part throws. */
export function answersOf({ gossip, receiver, repair, catalog, store, purging, isListed }: AnswersOptions): Answers {
  const requireListed = (said: string, from: string | null) => {
    requireSpeaker(said, from);
    if (isListed(said)) return;
    const message = `Cannot answer: ${said} is not on the list of servers here`;
    throw new CdnError(message, { source: "client", status: 403 });
  };
  return {
    ping: (ping, from) => gossip.answerPing(ping, from),
    servers: (list, from) => gossip.answerServers(list, from),
    offers: (offer, from) => {
      requireSpeaker(offer.from, from);
      return receiver.receive(offer);
    },
    tree: (question, from) => {
      requireListed(question.from, from);
      return repair.answerTree(question);
    },
    manifests: (question, from) => {
      requireListed(question.from, from);
      return repair.answerManifests(question);
    },
    standing: ({ from: said, path, version }, from) => {
      requireListed(said, from);
      return standingOf({ catalog, store }, path, versionFromWire(version));
    },
    lacks: (question, from) => {
      requireListed(question.from, from);
      return repair.answerLacks(question);
    },
    purge: (order, from) => {
      requireListed(order.from, from);
      return purging.take(order);
    },
    purges: (question, from) => {
      requireListed(question.from, from);
      return purging.list(question);
    },
  };
}

/** @throws {CdnError} 403 where a message is in the name of another server than the one that signed it. */
function requireSpeaker(said: string, from: string | null): void {
  if (from === null || said === from) return;
  throw new CdnError(`A message of ${said} was signed by ${from}`, { source: "client", status: 403 });
}
