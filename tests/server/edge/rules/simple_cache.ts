/** A cache of a few lines around the rules, with an origin that does what it is told: for playing histories. */
import type { StoredResponse } from "../../../../server/edge/response.ts";
import type * as all from "../../../../server/edge/rules/mod.ts";
import type { Asked, Exchange, Field, Served } from "../model.ts";
import { httpDate, SETTINGS } from "./kit.ts";

/** The rules that it goes by: the tests put wrong ones into their place. */
export type Rules = Pick<
  typeof all,
  | "answerFields"
  | "conditionOf"
  | "decide"
  | "freshen"
  | "freshenedBy"
  | "invalidatedBy"
  | "judgeStorage"
  | "normalised"
  | "rangeHolds"
  | "sameRepresentation"
  | "toStored"
  | "validationFields"
>;

/** Every representation has as many bytes, in two halves of which a Range may ask for either. */
const LENGTH = 10;
type Half = "bytes=0-4" | "bytes=5-9";

/** How the origin answers, where it is asked. */
export interface Behaviour {
  status: number;
  fields: Field[];
  /** The resource has changed: it has a new ETag. */
  changes: boolean;
  takesMs: number;
}

interface Entry {
  response: StoredResponse;
  base: Exchange;
  held: Set<Half>;
}

function halves(exchange: Exchange): Half[] {
  const part = exchange.fields.find(([name]) => name === "content-range")?.[1];
  if (exchange.status !== 206 || !part) return ["bytes=0-4", "bytes=5-9"];
  return [part.startsWith("bytes 0-4") ? "bytes=0-4" : "bytes=5-9"];
}

export class SimpleCache {
  readonly history: Exchange[] = [];
  readonly served: { served: Served; before: number }[] = [];
  readonly #entries = new Map<string, Entry[]>();
  readonly #tags = new Map<string, string>();
  #count = 0;

  constructor(readonly rules: Rules, readonly settings = SETTINGS) {}

  /** Answers a request at a time; returns the time when it is done. */
  handle(asked: Asked, nowMs: number, behaviour: Behaviour): number {
    if (asked.method !== "GET" && asked.method !== "HEAD") {
      const exchange = this.#ask(asked, asked.fields, nowMs, behaviour);
      for (const key of this.rules.invalidatedBy({ ...asked, authority: "cdn" }, exchange)) this.#entries.delete(key);
      return exchange.responseMs;
    }
    const entries = this.#entries.get(asked.target) ?? [];
    const decision = this.rules.decide(asked, entries, nowMs, this.settings);
    switch (decision.kind) {
      case "refuse":
        return nowMs;
      case "miss":
        return this.#fetch(asked, nowMs, behaviour);
      case "serve":
        if (!this.#serve(asked, decision.found, nowMs, false)) {
          return this.#fetch(asked, nowMs, behaviour, decision.found);
        }
        return decision.refresh ? this.#validate(asked, decision.found, nowMs, behaviour) : nowMs;
      case "validate":
        return this.#validate(asked, decision.found, nowMs, behaviour);
    }
  }

  /** False where not all that is asked for is held. */
  #serve(asked: Asked, { response, base, held }: Entry, atMs: number, originFailed: boolean): boolean {
    const fields = this.rules.answerFields(response, atMs);
    let status = response.status;
    const range = asked.fields.find(([name]) => name === "range")?.[1] as Half | undefined;
    if (this.rules.conditionOf(asked, response) === "not-modified") status = 304;
    else if (status === 200 && range && asked.method === "GET" && this.rules.rangeHolds(asked.fields, response)) {
      if (!held.has(range)) return false;
      fields.push(["content-range", `${range.replace("=", " ")}/${LENGTH}`]);
      status = 206;
    } else if (held.size < 2) return false;
    this.served.push({ served: { asked, atMs, base, status, fields, originFailed }, before: this.history.length });
    return true;
  }

  /** `found` is what is held of it already, if anything. */
  #fetch(asked: Asked, nowMs: number, behaviour: Behaviour, found: Entry | null = null): number {
    const range = asked.fields.filter(([name]) => name === "range");
    const fields = [...this.rules.normalised(asked.fields), ...(asked.method === "GET" ? range : [])];
    const exchange = this.#ask(asked, fields, nowMs, behaviour);
    this.#keep(asked, exchange, found);
    return exchange.responseMs;
  }

  #validate(asked: Asked, found: Entry, nowMs: number, behaviour: Behaviour): number {
    const fields = [...this.rules.normalised(asked.fields), ...this.rules.validationFields(found.response)];
    const exchange = this.#ask(asked, fields, nowMs, behaviour);
    if (exchange.status >= 500) {
      // It took its time to fail: what may be sent then is asked again.
      const then = this.rules.decide(asked, [found], exchange.responseMs, this.settings);
      if (then.kind === "validate" && then.onError) this.#serve(asked, found, exchange.responseMs, true);
    }
    if (exchange.status !== 304) {
      if (exchange.status < 500) this.#keep(asked, exchange);
      return exchange.responseMs;
    }
    const freshened = this.rules.freshenedBy(exchange, this.#entries.get(asked.target) ?? [], found, asked.fields);
    for (const entry of freshened) entry.response = this.rules.freshen(entry.response, exchange, exchange);
    return freshened.length > 0 ? exchange.responseMs : this.#fetch(asked, exchange.responseMs, behaviour);
  }

  #keep(asked: Asked, exchange: Exchange, found: Entry | null = null): void {
    const key = asked.target;
    if (!this.rules.judgeStorage(asked, exchange, this.settings).store) return;
    if (found && exchange.status === 206 && this.rules.sameRepresentation(found.response, exchange)) {
      found.response = this.rules.freshen(found.response, exchange, exchange);
      for (const half of halves(exchange)) found.held.add(half);
      return;
    }
    const response = this.rules.toStored(asked, exchange, exchange);
    const same = JSON.stringify(response.varied);
    const others = (this.#entries.get(key) ?? []).filter((entry) => JSON.stringify(entry.response.varied) !== same);
    this.#entries.set(key, [{ response, base: exchange, held: new Set(halves(exchange)) }, ...others]);
  }

  #ask(viewer: Asked, fields: Iterable<Field>, nowMs: number, behaviour: Behaviour): Exchange {
    const asked = { ...viewer, fields: [...fields] };
    const { status, changes, takesMs } = behaviour;
    if (changes || !this.#tags.has(asked.target)) this.#tags.set(asked.target, `"${++this.#count}"`);
    const etag = this.#tags.get(asked.target)!;
    const reading = asked.method === "GET" || asked.method === "HEAD";
    const good = reading && status === 200;
    const unchanged = good && asked.fields.some(([name, v]) => name === "if-none-match" && v === etag);
    const range = good && !unchanged ? asked.fields.find(([name]) => name === "range")?.[1] : undefined;
    const tag = unchanged || range ? etag : this.#tag(asked.target);
    const own: Field[] = reading ? [["etag", tag]] : [];
    if (range) own.push(["content-range", `${range.replace("=", " ")}/${LENGTH}`]);
    else if (reading && !unchanged) own.push(["content-length", String(LENGTH)]);
    const responseMs = nowMs + takesMs;
    const date: Field[] = behaviour.fields.some(([name]) => name === "date") ? [] : [["date", httpDate(responseMs)]];
    const exchange: Exchange = {
      asked,
      viewer,
      status: unchanged ? 304 : range ? 206 : status,
      fields: [...behaviour.fields, ...date, ...own],
      requestMs: nowMs,
      responseMs,
    };
    this.history.push(exchange);
    return exchange;
  }

  /** Each full answer is a representation of its own, and the current one: a part is of the one before it. */
  #tag(target: string): string {
    const tag = `"${++this.#count}"`;
    this.#tags.set(target, tag);
    return tag;
  }
}
