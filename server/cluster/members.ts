/** The list of servers, persisted: what we say of ourselves, and what we know of the others. */
import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { compareVersions, type Version, versionToWire, wire } from "../../proto/mod.ts";
import { sameBytes } from "../../runtime/keyring.ts";
import type { Logger } from "../../runtime/log.ts";
import type { HybridClock } from "../../proto/clock.ts";
import { Pins } from "./pins.ts";
import type { Keys, Ledger } from "./ports.ts";
import { recordBytes } from "../../proto/record_signature.ts";
import { kindOf, recordFault, Records, stampOf } from "./records.ts";
import { Referee, type Refusal, type VerifyCertificate } from "./referee.ts";

/** What a server says of itself, but where it is and what its key is. */
export interface Self {
  id: string;
  provider: string;
  region: string;
  role: "origin" | "edge";
  labels: Record<string, string>;
  software: string;
}

/** What the list needs. */
export interface MembersOptions {
  self: Self;
  ledger: Ledger;
  clock: HybridClock;
  now: () => number;
  log: Logger;
  keys: Keys;
  /** With TLS: then only a certificate binds a key to an id. */
  verifyCertificate?: VerifyCertificate;
}

/** How often we may write our own record anew because somebody else writes under our id. */
const RESTAMP_MS = 30_000;
/** Passes through a list: what stands later may make an earlier record right (a key, an admin who lets a server in). */
const PASSES = 3;
/** Keys of one server that an admin's record tells. */
const MAX_KEYS = 16;
/** Servers whose key is known and which are not on the list, in one run. */
const MAX_STRANGERS = 1000;

/** Keeps the list. Its listeners are told after every change. */
export class Members {
  readonly #options: MembersOptions;
  readonly #records = new Records();
  readonly #pins: Pins;
  readonly #referee: Referee;
  readonly #strangers = new Set<string>();
  readonly #warned = new Set<string>();
  #self: wire.Server;
  #restampedMs = -Infinity;
  /** The list changed. */
  onChange: () => void = () => {};
  /** The admins said something new of whether this server is on the list: it begins from nothing. */
  onAdmin: (id: string) => void = () => {};
  /** The server `id` told us something that is forged, or unsafe. */
  onMark: (id: string, reason: string) => void = () => {};

  constructor(options: MembersOptions) {
    this.#options = options;
    const { self, keys, ledger, clock, now } = options;
    this.#pins = new Pins(ledger);
    this.#referee = new Referee(options, this.#pins);
    this.#pins.pin(self.id, keys.publicKey);
    this.#self = create(wire.ServerSchema, { ...self, url: "" });
    const records = ledger.records();
    for (const record of records) clock.observe(stampOf(record), now());
    for (const record of records) {
      if (recordFault(record) === null) this.#records.merge(record);
      // From before records were signed: what a server says of itself comes anew, what admins said is ours to keep.
      else if (record.removed) this.#keep(this.#adminRecord(record, { removed: true, draining: false }), self.id);
    }
  }

  /** Writes our own record for this run, or with a new certificate; newer than those before. */
  announce(url: string): void {
    const { self, ledger, keys, clock, now } = this.#options;
    // A record that our own clock says is from the future was stamped while it was wrong: nobody took it.
    const earlier = this.#records.get(self.id, "own");
    const before = earlier && !clock.isAhead(stampOf(earlier), now()) ? earlier : null;
    this.#self = this.#sign({
      ...self,
      url,
      publicKey: keys.publicKey,
      certificate: keys.certificate,
      updated: this.#stamp(before ? stampOf(before) : undefined),
    });
    this.#records.replace(this.#self);
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

  /** True where the admins want it to take nothing new; we may be the one. */
  isDraining(id: string): boolean {
    return this.#records.view(id)?.draining ?? false;
  }

  /** The others that are on the list, by id. */
  others(): wire.Server[] {
    return [...this.#records.ids()].sort().flatMap((id) => this.get(id) ?? []);
  }

  /** Every record as it was signed: our own first, so that others know who speaks. */
  records(): wire.Server[] {
    return [this.#self, ...this.#records.all().filter((record) => record !== this.#self)];
  }

  /** What we tell others. */
  list(): wire.ServerList {
    return create(wire.ServerListSchema, { servers: this.records(), keys: this.formerKeys() });
  }

  /** Takes note of the keys that others say servers have or had: what is signed with one of them may be right. */
  noteKeys(told: readonly wire.ServerKeys[]): void {
    for (const { id, keys } of told) {
      if (!this.#records.view(id) && id !== this.#self.id) continue;
      for (const key of keys.slice(0, MAX_KEYS)) this.#pins.note(id, key);
    }
  }

  /** The key that counts for a server, also for one that is removed or gone; null where none was ever heard. */
  keyOf(id: string): Uint8Array<ArrayBuffer> | null {
    return this.#pins.current(id);
  }

  /** All keys that a server ever had, the one that counts first: what it wrote long ago is signed with an older one. */
  keysOf(id: string): Uint8Array<ArrayBuffer>[] {
    return this.#pins.all(id);
  }

  /**
   * Pins the key of a server whose record may not have come yet. The caller has seen that it holds the key.
   * @returns true where this key counts for this id
   */
  introduce(id: string, publicKey: Uint8Array, certificate: Uint8Array): boolean {
    const { keys, verifyCertificate, now } = this.#options;
    if (publicKey.length !== 32) return false;
    if (id === this.#self.id) return sameBytes(publicKey, keys.publicKey);
    if (this.#pins.matches(id, publicKey)) return true;
    if (!this.#records.view(id)) {
      if (this.#strangers.size >= MAX_STRANGERS) return false;
      this.#strangers.add(id);
    }
    if (verifyCertificate) {
      const bound = this.#referee.boundBy(certificate, [now()]);
      if (bound?.id !== id || !sameBytes(bound.publicKey, publicKey)) return false;
      const sinceMs = bound.notBeforeMs ?? 0;
      if (sinceMs < this.#pins.sinceMs(id)) return false;
      this.#pins.pin(id, publicKey, sinceMs);
      return true;
    }
    if (this.#pins.current(id)) return false;
    this.#pins.pin(id, publicKey);
    return true;
  }

  /**
   * Takes what is news in another server's list.
   * @param from who told us: it is marked for what is forged
   * @returns what was not taken, and why
   */
  learn(servers: readonly wire.Server[], from: string): Refusal[] {
    let changed = false;
    let refused: Refusal[] = [];
    let left = servers;
    for (let pass = 0; pass < PASSES; pass++) {
      refused = [];
      let taken = false;
      for (const server of left) {
        const refusal = this.#take(server, from);
        if (refusal === null) taken = true;
        else if (refusal !== "old") refused.push(refusal);
      }
      changed ||= taken;
      if (!taken || refused.length === 0) break;
      left = refused.map(({ record }) => record);
    }
    for (const { record, reason, fault } of refused) {
      this.#warnOnce(`${record.id} ${reason}`, "passed over a server's record", { id: record.id, from, reason });
      if (fault) this.onMark(from, `the record of ${record.id} ${reason}`);
    }
    if (changed) this.onChange();
    return refused;
  }

  /**
   * Puts on the list the server that gave this record of itself, whatever the admins said before; it may have a new key.
   * @returns why not, or null
   */
  add(record: wire.Server, from: string): string | null {
    const fault = recordFault(record) ?? this.#referee.ownFault(record)?.reason;
    if (fault) return fault;
    const admin = this.#records.get(record.id, "admin");
    if (admin?.removed) {
      this.#keep(this.#adminRecord(record, { removed: false, draining: admin.draining }), from);
      this.onChange();
    }
    return this.learn([record], record.id)[0]?.reason ?? null;
  }

  /** False where it is ourselves, or not on the list. */
  remove(id: string): boolean {
    const record = this.get(id);
    if (!record) return false;
    this.#keep(this.#adminRecord(record, { removed: true, draining: record.draining }), "an admin");
    this.onChange();
    return true;
  }

  /** Says whether a server, which may be ourselves, takes anything new. False where it is not on the list. */
  drain(id: string, draining: boolean): boolean {
    const record = id === this.#self.id ? this.#self : this.get(id);
    if (!record) return false;
    if (this.isDraining(id) === draining) return true;
    this.#keep(this.#adminRecord(record, { removed: false, draining }), "an admin");
    this.onChange();
    return true;
  }

  /** Logs once that another server writes under our id. */
  warnOfTwin(from: string): void {
    this.#warnOnce(`twin ${from}`, "two servers have the same id: give one of them another", {
      id: this.#self.id,
      from,
    });
  }

  /** Null where it was taken. */
  #take(record: wire.Server, from: string): Refusal | "old" | null {
    const { clock, now } = this.#options;
    const fault = recordFault(record);
    if (fault) return { record, reason: fault, fault: true };
    const stamp = stampOf(record);
    const kind = kindOf(record);
    if (record.id === this.#self.id && kind === "own") return this.#meetTwin(record, from);
    if (!this.#records.isNews(record)) {
      if (this.#records.view(record.id)) return "old";
      return { record, reason: "has no room: the list is full", fault: false };
    }
    if (clock.isAhead(stamp, now())) {
      return { record, reason: "is from a clock that is too far ahead", fault: false };
    }
    const isRemoved = kind === "own" ? this.#records.get(record.id, "admin")?.removed ?? false : record.removed;
    const refusal = this.#referee.judge(record, this.#self, isRemoved);
    if (refusal) return refusal;
    clock.observe(stamp, now());
    const kept = clone(wire.ServerSchema, record);
    delete kept.health;
    this.#keep(kept, from);
    return null;
  }

  /** Our own words about ourselves are never taken from elsewhere: where they are newer, ours become newer still. */
  #meetTwin(record: wire.Server, from: string): Refusal | "old" {
    const { keys, clock, now } = this.#options;
    if (!sameBytes(record.publicKey, keys.publicKey)) {
      this.warnOfTwin(from);
      return { record, reason: "is of another server with this one's id", fault: false };
    }
    if (compareVersions(stampOf(record), stampOf(this.#self)) <= 0) return "old";
    this.warnOfTwin(from);
    const refusal = this.#referee.ownFault(record);
    if (refusal) return refusal;
    if (!clock.observe(stampOf(record), now())) {
      return { record, reason: "is from a clock that is too far ahead", fault: false };
    }
    if (now() - this.#restampedMs < RESTAMP_MS || this.#self.url === "") return "old";
    this.#restampedMs = now();
    this.announce(this.#self.url);
    return "old";
  }

  /** Takes a record that was found right. */
  #keep(record: wire.Server, from: string): void {
    const { ledger, log } = this.#options;
    const before = this.#records.get(record.id, "admin");
    if (!this.#records.merge(record)) return;
    ledger.saveRecord(record);
    this.#strangers.delete(record.id);
    if (kindOf(record) === "own") return this.#pins.pin(record.id, record.publicKey, this.#referee.sinceMs(record));
    const wasRemoved = before?.removed ?? false;
    // Where its removal was never heard here, an admin's first word that asks for nothing is that it is let in.
    if (!record.removed && (wasRemoved || (!before && !record.draining)) && record.id !== this.#self.id) {
      this.#pins.unpin(record.id);
    }
    for (const key of record.knownKeys.slice(0, MAX_KEYS)) this.#pins.note(record.id, key);
    const what = record.removed
      ? "a server was taken off the list"
      : wasRemoved
      ? "a server was let in again"
      : record.draining
      ? "a server is to take nothing new"
      : "a server may take what is new";
    log.info(what, { id: record.id, from });
    if (record.id !== this.#self.id && (record.removed || wasRemoved)) this.onAdmin(record.id);
  }

  /** All keys of those that had more than one. */
  formerKeys(): wire.ServerKeys[] {
    return [...this.#records.ids()].flatMap((id) => {
      const keys = this.#pins.all(id).slice(0, MAX_KEYS);
      return keys.length > 1 ? [create(wire.ServerKeysSchema, { id, keys })] : [];
    });
  }

  #adminRecord(record: wire.Server, word: { removed: boolean; draining: boolean }): wire.Server {
    const admin = this.#records.get(record.id, "admin");
    const after = [record, ...(admin ? [admin] : [])].map(stampOf).sort(compareVersions).at(-1);
    const { id, url, provider, region, role, labels, software } = record;
    const knownKeys = this.#pins.all(id).slice(0, MAX_KEYS);
    const updated = this.#stamp(after);
    return this.#sign({ id, url, provider, region, role, labels, software, knownKeys, ...word, updated });
  }

  #sign(fields: MessageInitShape<typeof wire.ServerSchema>): wire.Server {
    const record = create(wire.ServerSchema, fields);
    record.signature = this.#options.keys.sign(recordBytes(record));
    return record;
  }

  #stamp(after?: Version): wire.Version {
    const { clock, now } = this.#options;
    return versionToWire(clock.next(now(), after));
  }

  #warnOnce(key: string, message: string, fields: Record<string, unknown>): void {
    if (this.#warned.has(key) || this.#warned.size >= 1000) return;
    this.#warned.add(key);
    this.#options.log.warn(message, fields);
  }
}
