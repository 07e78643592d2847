/**
 * Who is known to hold what: the very version, for a newer one may be on that server alone. Bounded, and it forgets:
 * what it does not know costs a question.
 */
import { compareVersions, type Manifest, type Version } from "../../proto/mod.ts";

/** The newest version of each path that each server was heard to hold; the paths heard of last are kept. */
export class Holders {
  readonly #paths = new Map<string, Map<string, Version>>();

  /** @param most paths that are remembered */
  constructor(readonly most = 20_000) {}

  /** Takes note that a server has this version of the path on disk. */
  note(server: string, { path, version }: Pick<Manifest, "path" | "version">): void {
    const held = this.#paths.get(path) ?? new Map<string, Version>();
    this.#paths.delete(path);
    this.#paths.set(path, held);
    const known = held.get(server);
    if (!known || compareVersions(version, known) > 0) held.set(server, version);
    if (this.#paths.size > this.most) this.#paths.delete(this.#paths.keys().next().value!);
  }

  /** True where the server is known to hold this version. */
  has(server: string, { path, version }: Pick<Manifest, "path" | "version">): boolean {
    const known = this.#paths.get(path)?.get(server);
    return known !== undefined && compareVersions(known, version) === 0;
  }

  /** It turned out that the server does not hold this (any more). */
  drop(server: string, { path }: Pick<Manifest, "path">): void {
    this.#paths.get(path)?.delete(server);
  }

  /** Forgets what a server holds. */
  forget(server: string): void {
    for (const held of this.#paths.values()) held.delete(server);
  }
}
