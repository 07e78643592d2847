/**
 * The list of servers as data: pure, and the same everywhere once everybody has heard everything.
 *
 * Of each server there are up to two records, each replaced by a newer one only:
 * - its own: what it says of itself. It carries the server's public key, and is signed with it;
 * - the admins': that it was removed, or let in again, that it is draining, or not. It carries no key, and is signed by
 *   the server that was told so (`updated.server`), which may be the one that it is about.
 *
 * A server counts as removed, or as draining, where the admins' last word says so, whatever it says of itself: so a
 * removed server does not come back by starting again. Each half takes the newest, hence the order in
 * which records are heard does not matter, and an old removal does not undo a later return.
 */
import { clone } from "@bufbuild/protobuf";
import { compareVersions, MAX_CERTIFICATE, type Version, versionFromWire, wire } from "../../proto/mod.ts";

/** Who wrote a record. */
export type Kind = "own" | "admin";

/** The most servers that are listed; both records of each fit into one list (1000). */
export const MAX_SERVERS = 450;

/** Who wrote this record: only what a server says of itself carries a key. */
export function kindOf(record: wire.Server): Kind {
  return record.publicKey.length > 0 ? "own" : "admin";
}

/** A record's stamp as the program has it. */
export function stampOf({ updated }: wire.Server): Version {
  return versionFromWire(updated);
}

/** What is wrong with a record by itself; null where nothing is. */
export function recordFault(record: wire.Server): string | null {
  if (record.signature.length !== 64) return "is not signed";
  if (kindOf(record) === "admin") return record.certificate.length > 0 ? "has a certificate, but no key" : null;
  if (record.publicKey.length !== 32) return "has a malformed key";
  if (record.certificate.length > MAX_CERTIFICATE) return "has a certificate that is too long";
  if (record.updated?.server !== record.id) return "speaks for another server";
  const isAdmins = record.removed || record.draining || record.knownKeys.length > 0;
  return isAdmins ? "says of itself what only admins say" : null;
}

/** All records. */
export class Records {
  readonly #halves: Record<Kind, Map<string, wire.Server>> = { own: new Map(), admin: new Map() };
  readonly #ids = new Set<string>();
  /** What is made of both halves, until one changes. */
  readonly #views = new Map<string, wire.Server>();

  /** True where this record would be taken. */
  isNews(record: wire.Server): boolean {
    const known = this.#halves[kindOf(record)].get(record.id);
    if (known) return compareVersions(stampOf(known), stampOf(record)) < 0;
    return this.#ids.has(record.id) || this.#ids.size < MAX_SERVERS;
  }

  /** Takes our own word about ourselves, whatever it was before. */
  replace(record: wire.Server): void {
    this.#halves[kindOf(record)].delete(record.id);
    this.merge(record);
  }

  /** Takes a record where it is news. */
  merge(record: wire.Server): boolean {
    if (!this.isNews(record)) return false;
    this.#halves[kindOf(record)].set(record.id, record);
    this.#views.delete(record.id);
    this.#ids.add(record.id);
    return true;
  }

  /** One half of what is known of a server. */
  get(id: string, kind: Kind): wire.Server | null {
    return this.#halves[kind].get(id) ?? null;
  }

  /** What counts: its own words, else the admins'; marked as removed, or draining, where it is. Null where never heard of. */
  view(id: string): wire.Server | null {
    const seen = this.#views.get(id);
    if (seen) return seen;
    const [own, admin] = [this.get(id, "own"), this.get(id, "admin")];
    const base = admin?.removed ? admin : own ?? admin;
    if (!base) return null;
    const view = clone(wire.ServerSchema, base);
    view.draining = admin?.draining ?? false;
    this.#views.set(id, view);
    return view;
  }

  /** Every id ever heard of. */
  ids(): ReadonlySet<string> {
    return this.#ids;
  }

  /** Every record, as it was signed. */
  all(): wire.Server[] {
    return [...this.#halves.own.values(), ...this.#halves.admin.values()];
  }
}
