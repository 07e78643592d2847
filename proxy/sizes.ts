/** How long answers are: remembered by path, so that a decision knows for how many bytes it is made. */
import { fieldOf } from "../runtime/http1/lines.ts";

/** A request's predicted length, and where it comes from. */
export interface PredictedSize {
  bytes: number;
  from: "known" | "given" | "assumed";
}

/** Sizes by path: the last ones used, at most so many. */
export class SizeMemory {
  readonly #sizes = new Map<string, number>();
  readonly #most: number;
  readonly #assumedBytes: number;

  constructor({ most = 20_000, assumedBytes }: { most?: number; assumedBytes: number }) {
    this.#most = most;
    this.#assumedBytes = assumedBytes;
  }

  /** An answer told a representation's size. True where that was news. */
  learn(target: string, bytes: number): boolean {
    const known = this.#sizes.get(target);
    if (known !== undefined) this.#sizes.delete(target);
    else if (this.#sizes.size >= this.#most) this.#sizes.delete(this.#sizes.keys().next().value!);
    this.#sizes.set(target, bytes);
    return known !== bytes;
  }

  /** What a request for a path will be answered with; `range` is its Range field. */
  predict(target: string, range: string | null = null): PredictedSize {
    const known = this.#sizes.get(target);
    const whole = known ?? this.#assumedBytes;
    const bytes = range === null ? whole : rangeBytes(range, whole) ?? whole;
    return { bytes, from: known === undefined ? "assumed" : "known" };
  }
}

/**
 * How many bytes of a representation of `whole` bytes a Range field asks for (RFC 9110 §14.1.2); null where it
 * is not understood, and so will be ignored. Where `whole` is only assumed, this is too.
 */
export function rangeBytes(field: string, whole: number): number | null {
  const match = /^bytes=(.+)$/i.exec(field.trim());
  if (!match) return null;
  let total = 0;
  for (const part of match[1]!.split(",")) {
    const range = /^\s*(\d{0,15})-(\d{0,15})\s*$/.exec(part);
    if (!range || (range[1] === "" && range[2] === "")) return null;
    const [, start, end] = range;
    if (start === "") total += Math.min(Number(end), whole);
    else if (end === "") total += Math.max(0, whole - Number(start));
    else if (Number(end) < Number(start)) return null;
    // An end beyond an assumed size is better evidence than the assumption.
    else total += Number(end) - Number(start) + 1;
  }
  return total;
}

/** The whole representation's size, as an answer to GET or HEAD tells it; null where it does not. */
export function sizeOf(status: number, headers: readonly (readonly [string, string])[]): number | null {
  if (status !== 200 && status !== 206) return null;
  const name = status === 200 ? "content-length" : "content-range";
  const value = fieldOf(headers, name);
  const digits = status === 200 ? value : value && /^bytes \d+-\d+\/(\d+)$/.exec(value)?.[1];
  return digits && /^\d{1,15}$/.test(digits) ? Number(digits) : null;
}
