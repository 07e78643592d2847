/** What rides on pings and pongs: how servers fare, and records that changed (SWIM §4.1). */
import { create } from "@bufbuild/protobuf";
import { compareVersions, wire } from "../../proto/mod.ts";
import type { Members } from "./members.ts";
import { News } from "./news.ts";
import { kindOf, stampOf } from "./records.ts";
import { type Swim, wordToWire } from "./swim.ts";
import { retransmissions, type SwimSettings } from "./swim_settings.ts";

/** Records in a message: each may carry a certificate. */
const MAX_RECORDS = 8;

/** Chooses what to tell. */
export class Telling {
  readonly #options: { swim: Swim; members: Members; settings: SwimSettings };
  readonly #words = new News();
  readonly #records = new News();
  /** The records that were seen, by kind and id. */
  #seen = new Map<string, wire.Server>();

  constructor(options: { swim: Swim; members: Members; settings: SwimSettings }) {
    this.#options = options;
    const { self } = options.members;
    this.#seen = keyed(options.members.records().filter((record) => record !== self));
  }

  /** Something is new of this server. */
  tell(id: string): void {
    this.#words.add(id);
  }

  /** Nothing is to be told of it. */
  hush(id: string): void {
    this.#words.drop(id);
  }

  /** The list changed: what is new in it is told. @returns whose own records are new */
  follow(): string[] {
    const records = keyed(this.#options.members.records());
    const fresh = [...records].filter(([key, record]) => {
      const before = this.#seen.get(key);
      return !before || compareVersions(stampOf(before), stampOf(record)) < 0;
    });
    // An admin's word first: it may be what makes a new key of a server right.
    fresh.sort(([a], [b]) => a < b ? 1 : -1);
    for (const [key] of fresh) this.#records.add(key);
    this.#seen = records;
    return fresh.filter(([, record]) => kindOf(record) === "own").map(([, { id }]) => id);
  }

  /** What was learned of the others is known to them: only our own record is news. */
  hushRecords(): void {
    const { self } = this.#options.members;
    for (const [key, record] of this.#seen) if (record.id !== self.id) this.#records.drop(key);
  }

  /** For a message to a server: our own word, what we think of it where it should object, and what is news. */
  to(id: string): { news: wire.Liveness[]; records: wire.Server[] } {
    const { swim, settings } = this.#options;
    const most = retransmissions(swim.size, settings);
    const records = this.#records.take(MAX_RECORDS, most).flatMap((key) => this.#seen.get(key) ?? []);
    const news = this.#words.take(settings.newsPerMessage, most);
    // A word about a server that is not on the list yet is lost: it goes with the record.
    const ids = new Set([...records.map((record) => record.id), ...news, id]);
    const words = [...ids].flatMap((other) => {
      const known = swim.get(other);
      if (!known || known.state === "unknown" || (other === id && known.state === "alive")) return [];
      return [{ id: other, state: known.state, incarnation: known.incarnation }];
    });
    return { news: [swim.self, ...words].map((word) => create(wire.LivenessSchema, wordToWire(word))), records };
  }
}

function keyed(records: wire.Server[]): Map<string, wire.Server> {
  return new Map(records.filter(({ url }) => url !== "").map((record) => [`${kindOf(record)} ${record.id}`, record]));
}
