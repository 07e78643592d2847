/** What we know of how the other servers fare: what they tell of themselves, what they refuse, what they were caught at. */
import { create } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";
import type { Known } from "./swim.ts";

interface Signs {
  /** Why it does not take our offers; what it sent that was wrong. */
  refusal: string;
  fault: { sha256: string; reason: string; atMs: number } | null;
  /** What it was caught at, the latest first. */
  marks: { reason: string; atMs: number; count: number }[];
  /** What it last told of what it holds. */
  content: wire.ContentSummary | null;
}

/** What gossip knows of a server (`Gossip.state`). */
export interface Life {
  state: Known | "self";
  incarnation: number;
  /** Of the wall clock; 0 where it was never heard. */
  heardMs: number;
  /** Why it did not answer us the last time; "" where it did. */
  error: string;
}

/** How long a wrong body is held against a server that did not send the right one since. */
const FAULT_MS = 3_600_000;
/** Marks of one server that are kept. */
const MAX_MARKS = 10;
/** Servers of which anything is kept. */
const MAX_IDS = 2000;

/** One record a server. */
export class Health {
  readonly #signs = new Map<string, Signs>();

  constructor(readonly now: () => number) {}

  /** It answers, but does not take what we offer; "" once it does. */
  refused(id: string, reason: string): void {
    this.#of(id).refusal = reason;
  }

  /** It sent something other than the body that it said. */
  faulty(id: string, sha256: string, reason: string): void {
    this.#of(id).fault = { sha256, reason, atMs: this.now() };
  }

  /** It sent this body as it should. */
  faultless(id: string, sha256: string): void {
    const signs = this.#of(id);
    if (signs.fault?.sha256 === sha256) signs.fault = null;
  }

  /** It was caught at something that does not happen by itself. The same again is counted. True where it is news. */
  mark(id: string, reason: string): boolean {
    const { marks } = this.#of(id);
    const text = reason.slice(0, 300);
    const at = marks.findIndex((mark) => mark.reason === text);
    const count = at < 0 ? 0 : marks.splice(at, 1)[0]!.count;
    marks.unshift({ reason: text, atMs: this.now(), count: count + 1 });
    marks.length = Math.min(marks.length, MAX_MARKS);
    return count === 0;
  }

  /** What it holds and lacks, by its own words. */
  told(id: string, content: wire.ContentSummary): void {
    this.#of(id).content = content;
  }

  /** What it last told of that; null where it did not yet. */
  content(id: string): wire.ContentSummary | null {
    return this.#signs.get(id)?.content ?? null;
  }

  forget(id: string): void {
    this.#signs.delete(id);
  }

  /**
   * As a message.
   * @param life as gossip has it
   * @param measured `lag`: objects that it has not confirmed to us; the round trip and rate of the link to it
   */
  report(
    id: string,
    life: Life,
    { lag = 0, rttMs = 0, bytesPerSecond = 0 }: { lag?: number; rttMs?: number; bytesPerSecond?: number } = {},
  ): wire.ServerHealth {
    const signs = this.#signs.get(id);
    const fault = signs?.fault && this.now() - signs.fault.atMs < FAULT_MS ? signs.fault.reason : "";
    const wanted = signs?.content?.wantedObjects ?? 0n;
    return create(wire.ServerHealthSchema, {
      state: life.state,
      incarnation: BigInt(life.incarnation),
      lastHeardMs: BigInt(life.heardMs),
      lagObjects: wanted > BigInt(lag) ? wanted : BigInt(lag),
      lagBytes: signs?.content?.wantedBytes ?? 0n,
      error: [life.error, signs?.refusal, fault].filter(Boolean).join("; ").slice(0, 1000),
      marks: (signs?.marks ?? []).map(({ reason, atMs, count }) => ({ reason, atMs: BigInt(atMs), count })),
      ...(signs?.content ? { content: signs.content } : {}),
      rttMs,
      bytesPerSecond,
    });
  }

  #of(id: string): Signs {
    let signs = this.#signs.get(id);
    if (!signs) {
      // Ids may be those of strangers, who can have many.
      if (this.#signs.size >= MAX_IDS) this.#signs.delete(this.#signs.keys().next().value!);
      this.#signs.set(id, signs = { refusal: "", fault: null, marks: [], content: null });
    }
    return signs;
  }
}
