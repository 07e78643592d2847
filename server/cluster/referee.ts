/** Which records of servers are right: by their signature, the key that is pinned, the certificate, and their URL. */
import type { wire } from "../../proto/mod.ts";
import { sameBytes } from "../../runtime/keyring.ts";
import type { Pins } from "./pins.ts";
import type { Keys } from "./ports.ts";
import { recordBytes } from "../../proto/record_signature.ts";
import { kindOf, stampOf } from "./records.ts";
import { urlFault } from "./safe_url.ts";

/** Whom a certificate names, and since when it is valid where that is known. Throws where it is not valid at `nowMs`. */
export type VerifyCertificate = (
  der: Uint8Array,
  nowMs: number,
) => { id: string; publicKey: Uint8Array; notBeforeMs?: number };

/** A record that was not taken though it would have been news. */
export interface Refusal {
  record: wire.Server;
  reason: string;
  /** True where somebody must have made it so. */
  fault: boolean;
}

/** Judges records; it keeps nothing. */
export class Referee {
  readonly #options: { keys: Keys; verifyCertificate?: VerifyCertificate; now: () => number };
  readonly #pins: Pins;

  constructor(options: { keys: Keys; verifyCertificate?: VerifyCertificate; now: () => number }, pins: Pins) {
    this.#options = options;
    this.#pins = pins;
  }

  /**
   * Null where the record is right; what is cheap is looked at first.
   * @param isRemoved the server is off the list, or is by this record: it is never asked, so its URL may be any. It may
   *   be ours by now; and its keys are needed for what it once signed.
   */
  judge(record: wire.Server, self: wire.Server, isRemoved: boolean): Refusal | null {
    const isAsked = record.id !== self.id && !isRemoved;
    const fault = isAsked ? urlFault(record.url, self.url) : null;
    if (fault) return { record, reason: `has the URL ${record.url}, which ${fault}`, fault: true };
    return kindOf(record) === "own" ? this.#pinFault(record) ?? this.ownFault(record) : this.#adminFault(record);
  }

  /** What is wrong with what a server says of itself, whatever key it had before. */
  ownFault(record: wire.Server): Refusal | null {
    const { keys, verifyCertificate } = this.#options;
    const refuse = (reason: string): Refusal => ({ record, reason, fault: true });
    if (verifyCertificate) {
      const bound = this.#boundBy(record);
      if (!bound) return refuse("has no valid certificate");
      if (bound.id !== record.id || !sameBytes(bound.publicKey, record.publicKey)) {
        return refuse("has a certificate for another id, or another key");
      }
    }
    if (keys.verify(record.publicKey, recordBytes(record), record.signature)) return null;
    return refuse("is not signed with its key");
  }

  /** Since when the certificate in a record is valid; 0 where that is not known. */
  sinceMs(record: wire.Server): number {
    return this.#boundBy(record)?.notBeforeMs ?? 0;
  }

  /** Whom a certificate names, if it is valid at one of these times. */
  boundBy(certificate: Uint8Array, times: number[]): ReturnType<VerifyCertificate> | null {
    const { verifyCertificate } = this.#options;
    if (!verifyCertificate || certificate.length === 0) return null;
    for (const time of new Set(times)) {
      try {
        return verifyCertificate(certificate, time);
      } catch { /* not valid then */ }
    }
    return null;
  }

  /** A server that is long gone has a certificate that was valid when it wrote. */
  #boundBy(record: wire.Server): ReturnType<VerifyCertificate> | null {
    const nowMs = this.#options.now();
    return this.boundBy(record.certificate, [nowMs, Math.min(nowMs, stampOf(record).wallMs)]);
  }

  /** A server keeps its key, unless a newer certificate says otherwise. */
  #pinFault(record: wire.Server): Refusal | null {
    if (!this.#pins.current(record.id) || this.#pins.matches(record.id, record.publicKey)) return null;
    if (this.#options.verifyCertificate && this.sinceMs(record) >= this.#pins.sinceMs(record.id)) return null;
    return { record, reason: "has another key than before", fault: true };
  }

  #adminFault(record: wire.Server): Refusal | null {
    const writer = stampOf(record).server;
    const known = this.#pins.all(writer);
    if (known.length === 0) return { record, reason: `is by ${writer}, whose key is not known`, fault: false };
    const bytes = recordBytes(record);
    if (known.some((key) => this.#options.keys.verify(key, bytes, record.signature))) return null;
    return { record, reason: `is not signed with the key of ${writer}`, fault: true };
  }
}
