/** Connections that wait for their next request, by origin. */
import { Deadlines, type Watch } from "../deadlines.ts";
import type { Connection } from "./connection.ts";

interface Idle {
  connection: Connection;
  watch: Watch;
}

/**
 * Keeps idle connections. Each has a read under way: one that the server closes, or where bytes come that
 * nobody asked for (which would become the answer to somebody's next request), is dropped the moment it happens.
 */
export class Pool {
  readonly #idle = new Map<string, Idle[]>();
  readonly #size: number;
  readonly #idleMs: number;
  readonly #deadlines: Deadlines;
  #closed = false;

  constructor({ size, idleMs, deadlines }: { size: number; idleMs: number; deadlines: Deadlines }) {
    this.#size = size;
    this.#idleMs = idleMs;
    this.#deadlines = deadlines;
  }

  /** The connection that was used last: the least likely to be closed by its server just now. */
  take(origin: string): Connection | null {
    const entry = this.#idle.get(origin)?.pop();
    entry?.watch.end();
    return entry?.connection ?? null;
  }

  /** Keeps a connection whose last answer was read exactly to its end. */
  give(origin: string, connection: Connection): void {
    let entries = this.#idle.get(origin);
    if (!entries) this.#idle.set(origin, entries = []);
    if (this.#closed || entries.length >= this.#size) return connection.close();
    const entry: Idle = { connection, watch: this.#deadlines.watch(() => this.#drop(origin, entry)) };
    entry.watch.set(this.#idleMs);
    entries.push(entry);
    connection.listen().then(() => this.#drop(origin, entry));
  }

  /** Closes all that is idle, and what comes back later. */
  close(): void {
    this.#closed = true;
    for (const [origin, entries] of this.#idle) for (const entry of [...entries]) this.#drop(origin, entry);
  }

  #drop(origin: string, entry: Idle): void {
    const entries = this.#idle.get(origin);
    const at = entries?.indexOf(entry) ?? -1;
    if (!entries || at < 0) return; // In use again: what came is its answer.
    entries.splice(at, 1);
    entry.watch.end();
    entry.connection.close();
    if (entries.length === 0) this.#idle.delete(origin);
  }
}
