/**
 * Who is known to hold what: the very version, for a newer one may be on that server alone. Bounded, and it forgets:
 * what it does not know costs a question.
 */
import { compareVersions, type Manifest, type Version } from "../../proto/mod.ts";

/** The newest version of each path that each server was heard to hold; the paths heard of last are kept. */
export class Holders {
  readonly #paths = new Map<string, Map<string, { version: Version; noted: number }>>();
  #noted = 0;

  /** @param most paths that are remembered */
  constructor(readonly most = 20_000) {}

  /** Grows with each note: what was noted until now has at most this number. */
  get asOf(): number {
    return this.#noted;
  }

  /** Takes note that a server has this version of the path on disk. */
  note(server: string, { path, version }: Pick<Manifest, "path" | "version">): void {
    const held = this.#paths.get(path) ?? new Map<string, { version: Version; noted: number }>();
    this.#paths.delete(path);
    this.#paths.set(path, held);
    const known = held.get(server);
    if (!known || compareVersions(version, known.version) > 0) held.set(server, { version, noted: ++this.#noted });
    if (this.#paths.size > this.most) this.#paths.delete(this.#paths.keys().next().value!);
  }

  /** True where the server is known to hold this version, and was so at a moment ({@link asOf}) where one is given. */
  has(server: string, { path, version }: Pick<Manifest, "path" | "version">, asOf = Infinity): boolean {
    const known = this.#paths.get(path)?.get(server);
    return known !== undefined && known.noted <= asOf && compareVersions(known.version, version) === 0;
  }

  /** It turned out that the server does not hold this (any more), unless that was noted after a moment. */
  drop(server: string, { path }: Pick<Manifest, "path">, asOf = Infinity): void {
    const held = this.#paths.get(path);
    if (held && (held.get(server)?.noted ?? 0) <= asOf) held.delete(server);
  }

  /** Forgets what a server holds. */
  forget(server: string): void {
    for (const held of this.#paths.values()) held.delete(server);
  }
}
