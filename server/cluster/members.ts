/** The list of servers, persisted: what we say of ourselves, and what we know of the others. */
import { clone, create } from "@bufbuild/protobuf";
import { compareVersions, type HybridClock, type Version, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Ledger } from "./ledger.ts";
import { kindOf, Records, stampOf } from "./records.ts";

/** What a server says of itself, but where it is. */
export interface Self {
  id: string;
  provider: string;
  region: string;
  role: "origin" | "edge";
  labels: Record<string, string>;
  software: string;
}

/** How often we may write our own record anew because somebody else writes under our id. */
const RESTAMP_MS = 30_000;

/** Keeps the list. Its listeners are told after every change. */
export class Members {
  readonly #options: { self: Self; ledger: Ledger; clock: HybridClock; now: () => number; log: Logger };
  readonly #records = new Records();
  readonly #warned = new Set<string>();
  #self: wire.Server;
  #restampedMs = -Infinity;
  /** The list changed. */
  onChange: () => void = () => {};
  /** The admins said something new of this server: it begins from nothing. */
  onAdmin: (id: string) => void = () => {};

  constructor(options: { self: Self; ledger: Ledger; clock: HybridClock; now: () => number; log: Logger }) {
    this.#options = options;
    this.#self = create(wire.ServerSchema, { ...options.self, url: "" });
    for (const record of options.ledger.records()) this.#records.merge(record);
  }

  /** Writes our own record for this run; newer than those of earlier runs. */
  announce(url: string): void {
    const { self, ledger } = this.#options;
    const before = this.#records.get(self.id, "own");
    const updated = this.#stamp(before ? stampOf(before) : undefined);
    this.#self = create(wire.ServerSchema, { ...self, url, updated });
    this.#records.merge(this.#self);
    ledger.saveRecord(this.#self);
  }

  /** Our own record. */
  get self(): wire.Server {
    return this.#self;
  }

  /** Another server that is on the list; null for ourselves, for removed and for unknown ones. */
  get(id: string): wire.Server | null {
    const record = id === this.#self.id ? null : this.#records.view(id);
    return record?.removed ? null : record;
  }

  /** True where the admins took it off the list. */
  isRemoved(id: string): boolean {
    return this.#records.view(id)?.removed ?? false;
  }

  /** The others that are on the list, by id. */
  others(): wire.Server[] {
    return [...this.#records.ids()].sort().flatMap((id) => this.get(id) ?? []);
  }

  /** What we tell others: our own record first, so that they know who speaks; then every record. */
  list(): wire.ServerList {
    const rest = this.#records.all().filter((record) => record !== this.#self);
    return create(wire.ServerListSchema, { servers: [this.#self, ...rest] });
  }

  /** Takes what is news in another server's list. */
  learn(servers: readonly wire.Server[], from: string): void {
    let changed = false;
    for (const server of servers) changed = this.#take(server, from) || changed;
    if (changed) this.onChange();
  }

  /** Puts on the list the server that gave this record of itself, whatever the admins said before. */
  add(record: wire.Server, from: string): void {
    const admin = this.#records.get(record.id, "admin");
    const letIn = admin?.removed ? [this.#adminRecord(record, false)] : [];
    this.learn([record, ...letIn], from);
  }

  /** False where it is ourselves, or not on the list. */
  remove(id: string): boolean {
    const record = this.get(id);
    if (!record) return false;
    this.learn([this.#adminRecord(record, true)], "an admin");
    return true;
  }

  /** Logs once that another server writes under our id. */
  warnOfTwin(from: string): void {
    this.#warnOnce(`twin ${from}`, "two servers have the same id: give one of them another", {
      id: this.#self.id,
      from,
    });
  }

  #take(given: wire.Server, from: string): boolean {
    const { clock, now, ledger } = this.#options;
    const record = clone(wire.ServerSchema, given);
    delete record.health;
    const stamp = stampOf(record);
    if (!clock.observe(stamp, now())) {
      this.#warnOnce(`ahead ${record.id}`, "passed over a server's record: its clock is too far ahead", {
        id: record.id,
        from,
      });
      return false;
    }
    const kind = kindOf(record);
    if (record.id === this.#self.id && kind === "own") return this.#meetTwin(stamp, from);
    if (!this.#records.merge(record)) return false;
    ledger.saveRecord(record);
    if (kind === "admin") {
      const what = record.removed ? "a server was taken off the list" : "a server was let in again";
      this.#options.log.info(what, { id: record.id, from });
      if (record.id !== this.#self.id) this.onAdmin(record.id);
    }
    return true;
  }

  /** Our own words about ourselves are never taken from elsewhere: where they are newer, ours become newer still. */
  #meetTwin(stamp: Version, from: string): boolean {
    if (compareVersions(stamp, stampOf(this.#self)) <= 0) return false;
    this.warnOfTwin(from);
    const nowMs = this.#options.now();
    if (nowMs - this.#restampedMs < RESTAMP_MS || this.#self.url === "") return false;
    this.#restampedMs = nowMs;
    this.announce(this.#self.url);
    return true;
  }

  #adminRecord(record: wire.Server, removed: boolean): wire.Server {
    const admin = this.#records.get(record.id, "admin");
    const after = [record, ...(admin ? [admin] : [])].map(stampOf).sort(compareVersions).at(-1);
    return create(wire.ServerSchema, { ...record, removed, updated: this.#stamp(after) });
  }

  #stamp(after?: Version) {
    const { clock, now } = this.#options;
    const { wallMs, counter, server } = clock.next(now(), after);
    return create(wire.VersionSchema, { wallMs: BigInt(wallMs), counter, server });
  }

  #warnOnce(key: string, message: string, fields: Record<string, unknown>): void {
    if (this.#warned.has(key) || this.#warned.size >= 1000) return;
    this.#warned.add(key);
    this.#options.log.warn(message, fields);
  }
}
