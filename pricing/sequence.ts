/**
 * Places in the log. The log of a pricing server is all that it holds, in the order in which it came to hold it: each
 * sheet's last write and each counter has a place, and whatever changes moves to the end. So "all that changed since
 * place n" is what lies beyond n, and a peer need remember one number.
 */
import type { DatabaseSync } from "node:sqlite";

/** Gives places that grow, over restarts too. */
export class Sequence {
  #head: number;

  constructor(database: DatabaseSync) {
    const { head } = database.prepare(
      "SELECT max((SELECT ifnull(max(seq), 0) FROM changes), (SELECT ifnull(max(seq), 0) FROM counters)) AS head",
    ).get() as { head: number };
    this.#head = head;
  }

  /** The end of the log; 0 where nothing is in it. */
  get head(): number {
    return this.#head;
  }

  /** A place at the end. One that is not used in the end leaves a gap, which means nothing. */
  next(): number {
    return ++this.#head;
  }
}
