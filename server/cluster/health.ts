/** What we know of how the other servers fare: heard of when, reachable or not, and why not. */
import { create } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";

interface Signs {
  heardMs: number;
  /** Null until the first try. */
  reachable: boolean | null;
  /** Why it could not be reached; why it does not take our offers; what it sent that was wrong. */
  error: string;
  refusal: string;
  fault: { sha256: string; reason: string; atMs: number } | null;
}

/** How long a wrong body is held against a server that did not send the right one since. */
const FAULT_MS = 3_600_000;

/** One record a server that was ever talked to. */
export class Health {
  readonly #signs = new Map<string, Signs>();

  constructor(readonly now: () => number) {}

  /** It called us. */
  heard(id: string): void {
    this.#of(id).heardMs = this.now();
  }

  /** It answered us. True where it was not reachable before. */
  reached(id: string): boolean {
    const signs = this.#of(id);
    const news = signs.reachable !== true;
    signs.heardMs = this.now();
    signs.reachable = true;
    signs.error = "";
    return news;
  }

  /** It did not answer. True where that is news. */
  missed(id: string, error: string): boolean {
    const signs = this.#of(id);
    const news = signs.reachable !== false;
    signs.reachable = false;
    signs.error = error;
    return news;
  }

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

  /** True where our last try to reach it failed. */
  isMissing(id: string): boolean {
    return this.#signs.get(id)?.reachable === false;
  }

  forget(id: string): void {
    this.#signs.delete(id);
  }

  /** As a message; `lag` is in objects. */
  report(id: string, lag: number): wire.ServerHealth {
    const signs = this.#signs.get(id);
    const fault = signs?.fault && this.now() - signs.fault.atMs < FAULT_MS ? signs.fault.reason : "";
    return create(wire.ServerHealthSchema, {
      state: signs?.reachable === true ? "reachable" : signs?.reachable === false ? "unreachable" : "unknown",
      lastHeardMs: BigInt(signs?.heardMs ?? 0),
      lagObjects: BigInt(lag),
      error: [signs?.error, signs?.refusal, fault].filter(Boolean).join("; ").slice(0, 1000),
    });
  }

  #of(id: string): Signs {
    let signs = this.#signs.get(id);
    if (!signs) this.#signs.set(id, signs = { heardMs: 0, reachable: null, error: "", refusal: "", fault: null });
    return signs;
  }
}
