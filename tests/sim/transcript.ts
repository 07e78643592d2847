/** What happened, for people to read; and a digest of all of it, by which two runs are compared. */
import { createHash } from "node:crypto";

/** Lines with virtual time. Messages are only kept where they are asked for, but always are in the digest. */
export class Transcript {
  readonly #lines: string[] = [];
  readonly #hash = createHash("sha256");
  #mixed = 0;

  /** @param verbose keeps a line for each message too */
  constructor(readonly now: () => number, readonly verbose = false) {}

  /** `who` does or hears of `what`. */
  note(who: string, what: string): void {
    const line = `${time(this.now())} ${who.padEnd(3)} ${what}`;
    this.#lines.push(line);
    this.#hash.update(line);
  }

  /** A message arrived. */
  message(what: string, from: string, to: string, bytes: number): void {
    // FNV-1a over what tells two runs apart; cheap, for there are thousands.
    let mixed = this.#mixed;
    for (const part of [this.now() * 1000, bytes, what.length, from.charCodeAt(1), to.charCodeAt(1)]) {
      mixed = Math.imul(mixed ^ Math.trunc(part), 0x01000193);
    }
    this.#mixed = mixed;
    if (this.verbose) this.#lines.push(`${time(this.now())} ${from} -> ${to}: ${what}, ${bytes} B`);
  }

  /** Of all that happened. To be asked for once. */
  digest(): string {
    return this.#hash.update(String(this.#mixed)).digest("hex");
  }

  toString(): string {
    return this.#lines.join("\n");
  }
}

/** Seconds with three places, so that the order of lines is seen. */
function time(ms: number): string {
  return (ms / 1000).toFixed(3).padStart(9);
}
