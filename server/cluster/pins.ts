/**
 * Which key each server has: the first one heard counts from then on ("trust on first use"), until a newer certificate
 * or an admin says otherwise. Former keys are kept: what was signed with them stays verifiable.
 */
import { decodeBase64, encodeBase64 } from "@std/encoding/base64";
import type { Ledger } from "./ports.ts";

/** Former keys that are kept for one server. */
const MAX_FORMER = 8;

interface Pin {
  /** Base64; "" where an admin let the server in anew, and the next one counts. */
  key: string;
  former: string[];
  /** Since when its certificate is valid; 0 where there is none. */
  sinceMs: number;
}

/** The keys by id, durable. */
export class Pins {
  readonly #pins = new Map<string, Pin>();

  constructor(readonly ledger: Pick<Ledger, "fact" | "saveFact">) {}

  /** The key that counts; null where none does yet. */
  current(id: string): Uint8Array<ArrayBuffer> | null {
    const key = this.#of(id)?.key;
    return key ? decodeBase64(key) : null;
  }

  /** All that it ever had, the one that counts first. */
  all(id: string): Uint8Array<ArrayBuffer>[] {
    const pin = this.#of(id);
    return pin ? [pin.key, ...pin.former].filter(Boolean).map((key) => decodeBase64(key)) : [];
  }

  /** True where it is the key that counts. */
  matches(id: string, key: Uint8Array): boolean {
    return this.#of(id)?.key === encodeBase64(key);
  }

  /** Since when the certificate of the key that counts is valid; 0 where there is none. */
  sinceMs(id: string): number {
    return this.#of(id)?.sinceMs ?? 0;
  }

  /** From now on this key counts. */
  pin(id: string, key: Uint8Array, sinceMs = 0): void {
    const pin = this.#of(id);
    const text = encodeBase64(key);
    if (pin?.key === text && pin.sinceMs === sinceMs) return;
    this.#save(id, { key: text, former: former(pin).filter((other) => other !== text), sinceMs });
  }

  /** A key that it has or had, by the word of an admin's server: what it signed with that is right. */
  note(id: string, key: Uint8Array): void {
    const pin = this.#of(id);
    const text = encodeBase64(key);
    if (pin?.key === text || pin?.former.includes(text)) return;
    const before = pin ?? { key: "", former: [], sinceMs: 0 };
    this.#save(id, { ...before, former: [...before.former, text].slice(0, MAX_FORMER) });
  }

  /** The next key that is heard counts. */
  unpin(id: string): void {
    const pin = this.#of(id);
    if (pin?.key) this.#save(id, { key: "", former: former(pin), sinceMs: 0 });
  }

  #of(id: string): Pin | null {
    const known = this.#pins.get(id);
    if (known) return known;
    const text = this.ledger.fact(`pin:${id}`);
    const pin = text === null ? null : JSON.parse(text) as Pin;
    if (pin) this.#pins.set(id, pin);
    return pin;
  }

  #save(id: string, pin: Pin): void {
    this.#pins.set(id, pin);
    this.ledger.saveFact(`pin:${id}`, JSON.stringify(pin));
  }
}

function former(pin: Pin | null): string[] {
  return pin ? [pin.key, ...pin.former].filter(Boolean).slice(0, MAX_FORMER) : [];
}
