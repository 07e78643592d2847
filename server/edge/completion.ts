/** What is missing of a stored body, asked from the origin when somebody comes to it: {@link Completion}. */
import { fieldOf } from "../../runtime/http1/lines.ts";
import { NEVER } from "../../runtime/http1/stop.ts";
import { CdnError } from "../../proto/mod.ts";
import type { HeaderLine } from "../../runtime/http1/transport.ts";
import type { ByteRange } from "../serve/range.ts";
import type { Entry } from "./cache/cache.ts";
import { Changed } from "./changed.ts";
import type { Source } from "./entry_body.ts";
import { Fill } from "./fill.ts";
import { ceil, floor } from "./first_range.ts";
import { Flights } from "./flights.ts";
import type { OriginRequest, OriginResponse, Origins } from "./origins/origins.ts";
import { type Lines, parseContentRange, sameRepresentation } from "./rules/mod.ts";
import type { StoredResponse } from "./response.ts";

const NOT_REPEATABLE = "it has no strong validator, or its length is not known";

/** What completing needs. */
export interface CompletionOptions {
  origins: Pick<Origins, "send">;
  /** Whether what an origin answered may be kept beside what is stored. */
  mayKeep(request: Pick<OriginRequest, "method" | "target" | "fields">, response: OriginResponse): boolean;
  /** What is stored is of no use any more. */
  discard(entry: Entry): void;
  /** A fill began: what it brings will be seen to. */
  begun(fill: Fill): void;
}

/** Fills under way, by entry, and how gaps become fills. */
export class Completion {
  readonly #options: CompletionOptions;
  readonly #fills = new WeakMap<Entry, Set<Fill>>();
  readonly #flights = new Flights<Fill>();
  readonly #names = new WeakMap<Entry, number>();
  #named = 0;

  constructor(options: CompletionOptions) {
    this.#options = options;
  }

  /** Takes note of a fill, for all who read its entry. */
  add(fill: Fill): void {
    let fills = this.#fills.get(fill.entry);
    if (!fills) this.#fills.set(fill.entry, fills = new Set());
    fills.add(fill);
    const known = fills;
    fill.ended.then(() => void known.delete(fill));
    this.#options.begun(fill);
  }

  /**
   * Where readers of an entry get what it does not hold. `asked`: for one of them the origin was asked, or will be.
   * @param fill what they begin with, though it may have ended
   * @param fields those that the origin is asked with
   * @param refuse throws where the origin must not be asked (only-if-cached)
   */
  source(
    entry: Entry,
    fill: Fill | null,
    fields: () => Lines,
    refuse: () => void = () => {},
  ): Source & { readonly asked: boolean } {
    const state = { asked: false };
    const fills = () => [...this.#fills.get(entry) ?? []];
    return {
      expect: (range) => {
        if (hasAll(entry, fill ? [fill, ...fills()] : fills(), range)) return;
        refuse();
        state.asked = true;
        if (!isRepeatable(entry.response)) throw this.#useless(entry, NOT_REPEATABLE);
      },
      bringing: (start, end) => fills().find((fill) => fill.brings(start, end)) ?? null,
      covering: (offset) => fills().find((fill) => fill.covers(offset)) ?? null,
      fetch: async (offset, end) => {
        state.asked = true;
        return await this.#fetch(entry, offset, end, fields);
      },
      get asked() {
        return state.asked;
      },
    };
  }

  async #fetch(entry: Entry, offset: number, end: number | null, fields: () => Lines): Promise<Fill> {
    const condition = strongCondition(entry.response);
    if (condition === null || entry.response.length === null) throw this.#useless(entry, NOT_REPEATABLE);
    const range = gap(entry, offset, end ?? entry.response.length, entry.response.length);
    const ask = (name: string | symbol) =>
      this.#flights.fly(name, NEVER, (signal) =>
        this.#ask(entry, range, {
          method: "GET",
          target: entry.key,
          fields: [...fields(), [
            "range",
            `bytes=${range.start}-${range.end === entry.response.length ? "" : range.end - 1}`,
          ], condition],
          body: null,
          bodyLength: null,
          signal,
        }));
    const { landing, led } = await ask(`${this.#nameOf(entry)}:${range.start}`);
    return led || landing.keeps ? landing : (await ask(Symbol())).landing;
  }

  async #ask(entry: Entry, range: { start: number }, request: OriginRequest): Promise<Fill> {
    const received = await this.#options.origins.send(request);
    const { status, body, contentLength } = received;
    const part = status === 206
      ? parseContentRange({ status, fields: received.headers })
      : status === 200
      ? { start: 0, end: contentLength ?? entry.response.length }
      : null;
    const same = sameRepresentation(entry.response, { status, fields: received.headers });
    const keeps = this.#options.mayKeep(request, received);
    // Where it is the request that forbids it, others may complete what is stored.
    if (!keeps && !this.#options.mayKeep({ ...request, fields: [] }, received)) this.#options.discard(entry);
    if (body && part && part.end !== null && same && part.start <= range.start && range.start < part.end) {
      const { start, end } = part;
      // Of an origin that knows no ranges all comes by the whole: nobody can ask for what comes late in it.
      const repeatable = status === 206;
      const fill = new Fill({ entry, body, start, since: range.start, end, repeatable, keeps });
      if (keeps) this.add(fill);
      return fill;
    }
    body?.cancel();
    if (status >= 500) {
      throw new CdnError(`Cannot complete what is stored: the origin answered ${status}`, {
        source: "origin",
        retry: true,
      });
    }
    throw this.#useless(entry, same ? `the origin answered ${status}` : "the origin has another version now");
  }

  #useless(entry: Entry, why: string): Changed {
    this.#options.discard(entry);
    return new Changed(why);
  }

  #nameOf(entry: Entry): number {
    let name = this.#names.get(entry);
    if (name === undefined) this.#names.set(entry, name = ++this.#named);
    return name;
  }
}

/** True where all of a range is held, or comes for somebody. */
function hasAll({ held }: Pick<Entry, "held">, fills: readonly Fill[], range: ByteRange): boolean {
  for (let at = range.start; at < range.end;) {
    const next = Math.max(
      ...held.map(({ start, end }) => start <= at ? end : at),
      ...fills.map((fill) => fill.reach(at)),
      at,
    );
    if (next === at) return false;
    at = next;
  }
  return true;
}

/** True where parts of a representation that come at different times can be put together. */
export function isRepeatable(response: StoredResponse): boolean {
  return response.length !== null && strongCondition(response) !== null;
}

/** The If-Range that a part of the same representation is asked with (RFC 9110 §13.1.5); null without a strong validator. */
function strongCondition(response: StoredResponse): HeaderLine | null {
  if (!sameRepresentation(response, { status: 206, fields: response.fields })) return null;
  const etag = fieldOf(response.fields, "etag");
  const value = etag !== null && !etag.startsWith("W/") ? etag : fieldOf(response.fields, "last-modified");
  return value === null ? null : ["if-range", value];
}

/** What is missing around `offset`, in whole blocks, up to where somebody wants it or it is held again. */
function gap({ held }: Pick<Entry, "held">, offset: number, end: number, length: number) {
  let start = floor(offset);
  let stop = Math.min(ceil(end), length);
  for (const range of held) {
    if (range.end <= offset) start = Math.max(start, range.end);
    else if (range.start > offset) stop = Math.min(stop, range.start);
  }
  return { start, end: stop };
}
