/**
 * The list of servers as data: pure, and the same everywhere once everybody has heard everything.
 *
 * Of each server there are up to two records, each replaced by a newer one only:
 * - its own: what it says of itself (`updated.server` is its id);
 * - the admins': that it was removed, or let in again (`updated.server` is the server that was told so).
 *
 * A server counts as removed where the admins' last word says so, whatever it says of itself: so a
 * removed server does not come back by starting again. Each half takes the newest, hence the order in
 * which records are heard does not matter, and an old removal does not undo a later return.
 */
import { compareVersions, type Version, type wire } from "../../proto/mod.ts";

/** Who wrote a record. */
export type Kind = "own" | "admin";

/** The most servers that are listed; both records of each fit into one list (1000). */
export const MAX_SERVERS = 450;

/** Who wrote this record. */
export function kindOf(record: wire.Server): Kind {
  return !record.removed && record.updated?.server === record.id ? "own" : "admin";
}

/** A record's stamp as the program has it. */
export function stampOf({ updated }: wire.Server): Version {
  return { wallMs: Number(updated?.wallMs ?? 0n), counter: updated?.counter ?? 0, server: updated?.server ?? "" };
}

/** All records. */
export class Records {
  readonly #halves: Record<Kind, Map<string, wire.Server>> = { own: new Map(), admin: new Map() };

  /** Takes a record where it is news. */
  merge(record: wire.Server): boolean {
    const half = this.#halves[kindOf(record)];
    const known = half.get(record.id);
    if (known && compareVersions(stampOf(known), stampOf(record)) >= 0) return false;
    if (!known && !this.ids().has(record.id) && this.ids().size >= MAX_SERVERS) return false;
    half.set(record.id, record);
    return true;
  }

  /** One half of what is known of a server. */
  get(id: string, kind: Kind): wire.Server | null {
    return this.#halves[kind].get(id) ?? null;
  }

  /** What counts: its own words, else the admins'; marked as removed where it is. Null where never heard of. */
  view(id: string): wire.Server | null {
    const admin = this.get(id, "admin");
    return admin?.removed ? admin : this.get(id, "own") ?? admin;
  }

  /** Every id ever heard of. */
  ids(): Set<string> {
    return new Set([...this.#halves.own.keys(), ...this.#halves.admin.keys()]);
  }

  /** Every record. */
  all(): wire.Server[] {
    return [...this.#halves.own.values(), ...this.#halves.admin.values()];
  }
}
