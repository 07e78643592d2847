/** An origin as stories have it: what it has, how it changes, and what it answers. */
import { formatHttpDate } from "../../../server/serve/http_date.ts";
import type { TimedField } from "./generators.ts";
import { START } from "./kit.ts";
import type { Exchange, Field } from "./model.ts";

/** How an origin treats a request. */
export interface Behaviour {
  status: number;
  fields: TimedField[];
  fault: "" | "down" | "503" | "breaks";
  /** The resource has changed just before. */
  changes: boolean;
  /** What it is from then on. */
  becomes: { length: number; validator: Representation["validator"] };
  /** It answers by what is true when it is asked; else by what is true when its answer begins. */
  early: boolean;
  takesMs: number;
  /** So many bytes of the body come with the head. */
  atOnce: number;
  unknownLength: boolean;
  ignoresRanges: boolean;
  ignoresConditions: boolean;
}

/** One state of a resource. */
export interface Representation {
  number: number;
  status: number;
  length: number;
  validator: "strong" | "both" | "weak" | "date" | "none";
}

const LONGEST = 2_000_000;
const STEP = 4099;
/** No two parts of it are the same: whose bytes they are, and which, is plain. */
const pool = (() => {
  const bytes = new Uint8Array(LONGEST + 200 * STEP);
  let state = 0x9e3779b9;
  for (let at = 0; at < bytes.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
})();

/** The bytes of a representation. */
export function contentOf({ number, length }: Representation): Uint8Array {
  const start = (number % 200) * STEP;
  return pool.subarray(start, start + length);
}

export function etagOf({ number, validator }: Representation): string | null {
  if (validator === "weak") return `W/"${number}"`;
  return validator === "strong" || validator === "both" ? `"${number}"` : null;
}

/** Long ago, and of each another second. */
export function modifiedOf({ number, validator }: Representation): string | null {
  return validator === "both" || validator === "date" ? dateOf(number) : null;
}

export function dateOf(number: number): string {
  return formatHttpDate(START - 10_000_000 + number * 1000);
}

/** What an origin has. */
export class Resources {
  readonly #now = new Map<string, Representation>();
  #count = 0;

  /** What it does and answers at this moment. */
  answer(
    { asked }: Exchange,
    { status, fault, changes, becomes, ignoresRanges, ignoresConditions, fields }: Behaviour,
  ): { status: number; fields: Field[]; body: Representation | null } {
    const { method, target } = asked;
    if (fault === "503") return this.#apart(503, 20);
    if (method !== "GET" && method !== "HEAD") {
      if (status < 400) {
        const location = fields.find(([name]) => name === "location")?.[1];
        for (const changed of [target, location]) this.#now.delete(String(changed));
      }
      return { status, fields: [["content-length", "0"]], body: null };
    }
    if (status !== 200) return this.#apart(status, becomes.length % 1000);
    const field = (name: string) => asked.fields.find(([known]) => known === name)?.[1] ?? null;
    let current = this.#now.get(target);
    if (!current || changes) this.#now.set(target, current = this.#make(200, becomes));
    const [etag, modified] = [etagOf(current), modifiedOf(current)];
    const strong = etag !== null && etag.startsWith('"');
    const match = field("if-match");
    if (match !== null && !(strong && match === etag)) return this.#apart(412, 0);
    const noneMatch = field("if-none-match");
    const unchanged = noneMatch !== null
      ? etag !== null && noneMatch === etag
      : modified !== null && field("if-modified-since") === modified;
    if (unchanged && !ignoresConditions) return { status: 304, fields: headOf(current), body: current };
    const range = method === "GET" && !ignoresRanges ? this.#range(field, current) : null;
    if (range === "none") {
      const { status, fields, body } = this.#apart(416, 0);
      return { status, fields: [...fields, ["content-range", `bytes */${current.length}`]], body };
    }
    if (range) {
      return {
        status: 206,
        fields: [
          ...headOf(current),
          ["content-range", `bytes ${range.start}-${range.end - 1}/${current.length}`],
          ["content-length", String(range.end - range.start)],
        ],
        body: current,
      };
    }
    // Where nothing tells two answers for the same strongly, each is one of its own.
    if (!strong) this.#now.set(target, current = this.#make(200, current));
    return { status: 200, fields: [...headOf(current), ["content-length", String(current.length)]], body: current };
  }

  /** What an answer has of a representation. */
  bytesOf({ status, fields }: Exchange, body: Representation): Uint8Array {
    const part = status === 206
      ? /^bytes (\d+)-(\d+)/.exec(fields.find(([name]) => name === "content-range")![1])
      : null;
    return part ? contentOf(body).subarray(Number(part[1]), Number(part[2]) + 1) : contentOf(body);
  }

  #range(field: (name: string) => string | null, current: Representation) {
    const match = /^bytes=(\d*)-(\d*)$/.exec(field("range") ?? "");
    if (!match || current.length === 0) return null;
    const condition = field("if-range");
    const [etag, modified] = [etagOf(current), modifiedOf(current)];
    if (condition !== null && !(condition.startsWith('"') && condition === etag) && condition !== modified) return null;
    const { length } = current;
    const [first, last] = [match[1]!, match[2]!];
    if (first === "") return { start: Math.max(0, length - Number(last)), end: length };
    if (Number(first) >= length) return "none" as const;
    return { start: Number(first), end: last === "" ? length : Math.min(length, Number(last) + 1) };
  }

  #apart(status: number, length: number) {
    const body = this.#make(status, { length, validator: "none" });
    return { status, fields: [...headOf(body), ["content-length", String(length)]] satisfies Field[], body };
  }

  #make(status: number, { length, validator }: Pick<Representation, "length" | "validator">): Representation {
    return { number: ++this.#count, status, length, validator };
  }
}

function headOf(representation: Representation): Field[] {
  const [etag, modified] = [etagOf(representation), modifiedOf(representation)];
  return [
    ["x-representation", String(representation.number)],
    ...(etag === null ? [] : [["etag", etag] satisfies Field]),
    ...(modified === null ? [] : [["last-modified", modified] satisfies Field]),
  ];
}
