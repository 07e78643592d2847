/** What must hold, whatever happens: a witness who sees every disk and every answer. */
import { compareVersions, formatVersion, type Manifest, type Version } from "../../proto/mod.ts";
import { MAX_AHEAD_MS } from "../../proto/clock.ts";
import { sha256 } from "../../runtime/signature.ts";
import { EPOCH_MS } from "./life.ts";
import type { Machine } from "./machine_host.ts";
import type { Read } from "./process.ts";
import { SimulationError } from "./world.ts";

/** The rules, by the names under which a breach is reported. */
export type Rule =
  /** What was acknowledged (or something newer) is on at least as many disks as promised, and never on none. */
  | "durable"
  /** At rest each server has what was acknowledged, or something newer. */
  | "kept"
  /** What was deleted is not there again by an older version; a server never goes back in time. */
  | "forward"
  /** What a server gives out is what its digest says, and what somebody wrote. */
  | "true bytes"
  /** At rest all servers know the same, and have the bodies (but those that were lost before they were acknowledged). */
  | "equal"
  /** At rest nothing is refused. */
  | "readable"
  /** What was asked is answered, one way or the other. */
  | "answered"
  /** At rest each server knows who runs and who does not. */
  | "known"
  /** At rest little is said. */
  | "quiet";

/** A rule was broken. */
export class Breach extends SimulationError {
  override name = "Breach";
  constructor(readonly rule: Rule, message: string) {
    super(`${rule}: ${message}`);
  }
}

/** A write that a client asked for. */
interface Write {
  machine: string;
  path: string;
  /** Null for a delete. */
  sha256: string | null;
}

/** Sees all, and speaks up at the first breach. */
export class Witness {
  readonly #machines: readonly Machine[];
  readonly #minCopies: number;
  readonly #now: () => number;
  /** Whatever was asked for: nothing else may ever be seen. */
  readonly #writes: Write[] = [];
  /** The newest acknowledged version of each path. */
  readonly #acknowledged = new Map<string, Manifest>();
  /** Which machines ever held which versions for good, by path. */
  readonly #held = new Map<string, { machine: string; version: Version }[]>();
  /** Machines whose clocks are wrong. */
  readonly #doubted = new Set<string>();
  /** The newest that each machine showed of a path, by `machine path`. */
  readonly #shown = new Map<string, Version>();

  constructor(machines: readonly Machine[], minCopies: number, now: () => number) {
    this.#machines = machines;
    this.#minCopies = minCopies;
    this.#now = now;
    for (const { id, platter } of machines) {
      platter.onDurable = ({ path, version }) => {
        if (this.#isAhead(version)) return; // nobody else may take it: it is as good as nothing
        const held = this.#held.get(path) ?? [];
        this.#held.set(path, held);
        held.push({ machine: id, version });
      };
    }
  }

  /** A client asks for it. */
  asked(write: Write): void {
    this.#writes.push(write);
  }

  /** A server puts the version before, or a tombstone, in the place of one that it says nobody has. */
  gaveUp(machine: string, path: string, version: string): void {
    const acknowledged = this.#acknowledged.get(path);
    if (acknowledged && formatVersion(acknowledged.version) === version) {
      throw new Breach("durable", `${machine} gave up ${told(acknowledged)}, which was acknowledged`);
    }
    const written = this.#writes.filter((write) => write.path === path).map(({ sha256 }) => sha256);
    for (const sha256 of new Set([...written, null])) this.asked({ machine, path, sha256 });
  }

  /** A server says that it is done. */
  acknowledged(machine: string, manifest: Manifest): void {
    const { path, version } = manifest;
    const holders = new Set(
      (this.#held.get(path) ?? []).filter((held) => compareVersions(held.version, version) >= 0).map((one) =>
        one.machine
      ),
    );
    if (holders.size < this.#minCopies) {
      throw new Breach(
        "durable",
        `${told(manifest)} was acknowledged by ${machine} with copies on ${[...holders].join(", ") || "no disk"}; ` +
          `${this.#minCopies} are promised`,
      );
    }
    const before = this.#acknowledged.get(path);
    if (!before || compareVersions(before.version, version) < 0) this.#acknowledged.set(path, manifest);
    this.#shows(machine, manifest);
  }

  /** What a read that begins now must show at least; null where anything will do. */
  shown(machine: string, path: string): Version | null {
    return this.#doubted.has(machine) ? null : this.#shown.get(`${machine} ${path}`) ?? null;
  }

  /** A server showed something (null: it never heard of the path); `least` is what was {@link shown} when it was asked. */
  read(machine: string, path: string, read: Read | null, least: Version | null): void {
    if (!read) {
      if (least) throw new Breach("forward", `${machine} never heard of ${path}, but had ${shortVersion(least)}`);
      return;
    }
    const { manifest, bytes } = read;
    this.#requireWritten(machine, manifest);
    if (manifest.deleted !== (bytes === null)) {
      throw new Breach("true bytes", `${machine} gave bytes for ${told(manifest)}`);
    }
    if (bytes && (sha256(bytes) !== manifest.sha256 || bytes.length !== manifest.size)) {
      throw new Breach("true bytes", `${machine} gave ${bytes.length} bytes for ${told(manifest)} that are not it`);
    }
    const { version } = manifest;
    if (least && compareVersions(least, version) > 0) {
      throw new Breach("forward", `${machine} shows ${told(manifest)} after ${shortVersion(least)}`);
    }
    this.#shows(machine, manifest);
  }

  /** The machine's disk lost what it had: it may know less now, but nobody else may have lost by it. */
  lost(machine: string): void {
    for (const key of this.#shown.keys()) if (key.startsWith(`${machine} `)) this.#shown.delete(key);
    this.survives();
  }

  /** The machine's clock is wrong: it may go back, for what it writes now may have to be forgotten. */
  doubt(machine: string): void {
    this.#doubted.add(machine);
  }

  /** All clocks are right again, and all that was to be forgotten is. */
  trustAll(): void {
    for (const machine of this.#doubted) this.lost(machine);
    this.#doubted.clear();
  }

  /** Some disk has each acknowledged write, or something newer. To be asked after whatever may have lost one. */
  survives(): void {
    for (const manifest of this.#acknowledged.values()) {
      const { path, version } = manifest;
      if (this.#machines.some(({ platter }) => platter.holds(path, version))) continue;
      throw new Breach("durable", `no disk has ${told(manifest)} any more, which was acknowledged`);
    }
  }

  /** Why the servers are not at rest yet; null once all that run know the same, and have the bodies of all of it. */
  unrest(): Breach | null {
    const running = this.#running();
    for (const path of this.paths()) {
      const newest = running.map(({ platter }) => platter.newest(path));
      const [first] = newest;
      const other = newest.findIndex((manifest) => !isSame(manifest, first));
      if (other > 0) {
        return new Breach(
          "equal",
          `${running[0]!.id} knows ${told(first)} and ${running[other]!.id} ${told(newest[other])}`,
        );
      }
      if (!first || this.#isLost(first)) continue;
      const lacking = running.find(({ platter }) => !platter.holds(path, first.version));
      if (lacking) return new Breach("equal", `${lacking.id} knows of ${told(first)} and does not have it`);
    }
    return this.#unknown();
  }

  /** At rest: every acknowledged write, or something newer, is what this server has; and nothing that nobody wrote. */
  kept({ id, platter }: Machine): void {
    for (const manifest of this.#acknowledged.values()) {
      const { path, version } = manifest;
      const known = platter.newest(path);
      if (!known || compareVersions(known.version, version) < 0) {
        throw new Breach("kept", `${id} has ${told(known)} at ${path}, where ${told(manifest)} was acknowledged`);
      }
      if (compareVersions(known.version, version) === 0 && !isSame(known, manifest)) {
        throw new Breach("kept", `${id} has another object under the version of ${told(manifest)}`);
      }
    }
    for (const { manifest } of platter.rows.values()) this.#requireWritten(id, manifest);
  }

  /** At rest: a server showed this, or (null) nothing could be had. */
  readAtRest(machine: string, path: string, read: Read | null | Error, least: Version | null): void {
    const acknowledged = this.#acknowledged.get(path);
    if (read instanceof Error) {
      const known = this.#machines.find(({ id }) => id === machine)?.platter.newest(path);
      if (!acknowledged && known && this.#isLost(known)) return;
      throw new Breach("readable", `${machine} cannot give ${path}: ${read.message}`);
    }
    this.read(machine, path, read, least);
    if (acknowledged && (!read || compareVersions(read.manifest.version, acknowledged.version) < 0)) {
      throw new Breach(
        "kept",
        `${machine} gives ${told(read?.manifest)}, where ${told(acknowledged)} was acknowledged`,
      );
    }
  }

  /** All paths that were ever written. */
  paths(): string[] {
    return [...new Set(this.#writes.map(({ path }) => path))].sort();
  }

  #running(): Machine[] {
    return this.#machines.filter(({ isGone }) => !isGone);
  }

  /** Never acknowledged, and the only disks that had its body lost it: nobody can have it again. */
  #isLost({ path, version, deleted, sha256 }: Manifest): boolean {
    const acknowledged = this.#acknowledged.get(path);
    if (deleted || (acknowledged && compareVersions(acknowledged.version, version) >= 0)) return false;
    return !this.#running().some(({ platter }) => platter.bodies.get(sha256)?.rottenAt === null);
  }

  /** Who does not know that another runs, or that it does not. */
  #unknown(): Breach | null {
    const running = new Set(this.#running().map(({ id }) => id));
    for (const { id, process } of this.#running()) {
      const states = new Map(process?.members().map(({ id, state }) => [id, state]));
      for (const other of running) {
        if (other !== id && states.get(other) !== "alive") {
          return new Breach("known", `${id} holds ${other} for ${states.get(other) ?? "nobody"}, but it runs`);
        }
      }
      for (const [other, state] of states) {
        if (!running.has(other) && state === "alive") return new Breach("known", `${id} holds ${other} for alive`);
      }
    }
    return null;
  }

  /** What it has itself, it must not lose; what it had from another, that one may lose. */
  #shows(machine: string, { path, version }: Manifest): void {
    if (!this.#machines.some(({ id, platter }) => id === machine && platter.holds(path, version))) return;
    // What is stamped in the future is dropped once the clock is right again.
    if (!this.#isAhead(version)) this.#shown.set(`${machine} ${path}`, newer(this.shown(machine, path), version));
  }

  #isAhead({ wallMs }: Version): boolean {
    return wallMs > EPOCH_MS + this.#now() + 2 * MAX_AHEAD_MS;
  }

  #requireWritten(machine: string, manifest: Manifest): void {
    const { path, version, deleted, sha256 } = manifest;
    const isWritten = this.#writes.some((write) =>
      write.path === path && write.machine === version.server && write.sha256 === (deleted ? null : sha256)
    );
    if (!isWritten) throw new Breach("true bytes", `${machine} has ${told(manifest)}, which nobody wrote`);
  }
}

function newer(a: Version | null, b: Version): Version {
  return a && compareVersions(a, b) > 0 ? a : b;
}

function isSame(a: Manifest | null | undefined, b: Manifest | null | undefined): boolean {
  if (!a || !b) return !a && !b;
  return compareVersions(a.version, b.version) === 0 && a.deleted === b.deleted && a.sha256 === b.sha256;
}

/** A manifest in a few words. */
export function told(manifest: Manifest | null | undefined): string {
  if (!manifest) return "nothing";
  const what = manifest.deleted ? "deleted" : `${manifest.size} B ${manifest.sha256.slice(0, 8)}`;
  return `${manifest.path} (${what}, ${shortVersion(manifest.version)})`;
}

/** A version as seconds since the story began, counter and server. */
export function shortVersion({ wallMs, counter, server }: Version): string {
  return `${((wallMs - EPOCH_MS) / 1000).toFixed(3)}${counter ? `+${counter}` : ""}@${server}`;
}
