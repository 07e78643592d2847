/** One server of a story: a node on a disk of its own, which can be cut off, die, and get a wrong clock. */
import { MAX_AHEAD_MS } from "../../../proto/clock.ts";
import { join } from "@std/path";
import type { Manifest } from "../../../proto/mod.ts";
import { byTimer, type ClusterSettings } from "../../../server/cluster/mod.ts";
import { type DiskStore, openDiskStore } from "../../../server/store/mod.ts";
import { createWriter, type Writer } from "../../../server/write.ts";
import { type BodyPlace, placeOf } from "../../kit/body_place.ts";
import { Node, pieces } from "./node.ts";

/** How long a write waits for its copies; a figure that no other timer has. */
const COPIES_WAIT_MS = 19_937;
/** The same where nobody can give a copy: there the outcome is known. */
const VAIN_WAIT_MS = 100;
/** Timers of at least so many milliseconds go off where a story lets hours pass. */
const LONG_MS = 10_000;

/** How a process stands. */
export type Standing = "running" | "stopped" | "crashed";

/** See the head of this file. */
export class Actor {
  standing: Standing = "stopped";
  cut = false;
  /** Its clock is off by so much, beside the hours that passed for everybody. */
  clockMs = 0;
  /** A write that waits for copies waits in vain. */
  inVain = false;
  /** What its disk holds while no process has it open, in words. */
  left = "nothing";
  node!: Node;
  #store!: DiskStore;
  #writer!: Writer;
  #passedMs = 0;
  readonly #pending = new Set<() => void>();

  constructor(readonly id: string, readonly folder: string, readonly settings: Partial<ClusterSettings>) {}

  /** Others reach it, and it reaches them. */
  get isUp(): boolean {
    return this.standing === "running" && !this.cut;
  }

  /** Starts the process on what its disk has. */
  async begin(peers: string[]): Promise<void> {
    this.#store = await openDiskStore({
      folder: join(this.folder, "store"),
      minFreeBytes: 0,
      scrubBytesPerSecond: 0,
      now: () => this.now(),
    });
    this.node = new Node(this.id, {
      store: this.#store,
      folder: this.folder,
      skewMs: this.#passedMs + this.clockMs,
      settings: { copiesWaitMs: COPIES_WAIT_MS, ...this.settings },
      fault: (_, answer) => this.cut ? new Response("cut", { status: 503 }) : answer(),
      fetch: (...given) => this.cut ? Promise.reject(new TypeError("cut")) : fetch(...given),
      schedule: (action, ms) => this.#schedule(action, ms),
    });
    await this.node.start(peers);
    const { cluster, clock, now } = this.node;
    this.#writer = createWriter({ store: cluster.store, cluster, clock, now });
    this.standing = "running";
  }

  /** Ends the process: it says goodbye, unless it crashes. */
  async end(how: "stopped" | "crashed"): Promise<void> {
    this.left = await this.content();
    const { cut } = this;
    this.cut ||= how === "crashed";
    this.standing = how;
    await this.node.stop();
    await this.#store[Symbol.asyncDispose]();
    this.cut = cut;
  }

  now(): number {
    return Date.now() + this.#passedMs + this.clockMs;
  }

  /** Its clock is wrong by so much from now on. */
  /** True where it holds nothing that is stamped further ahead than others take. */
  async hasNoFuture(): Promise<boolean> {
    const { entries } = await this.node.store.list({ by: "path", limit: 1000, tombstones: true });
    return entries.every(({ manifest }) => manifest.version.wallMs <= this.node.now() + MAX_AHEAD_MS);
  }

  setClock(ms: number): void {
    this.clockMs = ms;
    this.node.skewMs = this.#passedMs + ms;
  }

  /** So much time passes; what waits for long goes off. */
  pass(ms: number): void {
    this.#passedMs += ms;
    this.node.skewMs = this.#passedMs + this.clockMs;
    for (const goOff of [...this.#pending]) goOff();
  }

  /** As an upload does. @throws {CdnError} where it may not write */
  async write(path: string, text: string): Promise<Manifest> {
    const body = await this.node.store.stage(pieces(new TextEncoder().encode(text)));
    const { manifest } = await this.#writer.write(path, body, {
      mediaType: "text/plain",
      name: "",
      modifiedMs: 0,
      meta: {},
    });
    return manifest;
  }

  /** As a DELETE does. @throws {CdnError} where it may not, or where there is nothing */
  async remove(path: string): Promise<Manifest> {
    return (await this.#writer.remove(path)).manifest;
  }

  /** What it holds, in words. */
  async content(): Promise<string> {
    if (this.standing !== "running") return this.left;
    const { entries } = await this.node.store.list({ by: "path", limit: 100 });
    const texts = entries.map(async ({ manifest: { path } }) => `${path}=${await this.node.text(path) ?? "(lost)"}`);
    return (await Promise.all(texts)).join(" ") || "nothing";
  }

  /** Where an object's body is on its disk. */
  async bodyPlace(path: string): Promise<BodyPlace> {
    const { sha256 } = (await this.node.store.get(path))!;
    return placeOf(join(this.folder, "store"), sha256);
  }

  #schedule(action: () => void, ms: number): () => void {
    if (ms === COPIES_WAIT_MS && this.inVain) return byTimer(action, VAIN_WAIT_MS);
    if (ms < LONG_MS || ms === COPIES_WAIT_MS) return byTimer(action, ms);
    const cancel = byTimer(() => goOff(), ms);
    const call = () => {
      this.#pending.delete(goOff);
      cancel();
    };
    const goOff = () => {
      call();
      action();
    };
    this.#pending.add(goOff);
    return call;
  }
}
