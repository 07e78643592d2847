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
  | "toStored"
  | "validationFields"
>;

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
        this.#serve(asked, decision.found, nowMs, false);
        return decision.refresh ? this.#validate(asked, decision.found, nowMs, behaviour) : nowMs;
      case "validate":
        return this.#validate(asked, decision.found, nowMs, behaviour);
    }
  }

  #serve(asked: Asked, { response, base }: Entry, atMs: number, originFailed: boolean): void {
    const fields = this.rules.answerFields(response, atMs);
    const status = this.rules.conditionOf(asked, response) === "not-modified" ? 304 : response.status;
    this.served.push({
      served: { asked, atMs, base, status, fields, originFailed },
      before: this.history.length,
    });
  }

  #fetch(asked: Asked, nowMs: number, behaviour: Behaviour): number {
    const exchange = this.#ask(asked, this.rules.normalised(asked.fields), nowMs, behaviour);
    this.#keep(asked, exchange);
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
    const freshened = this.rules.freshenedBy(exchange, this.#entries.get(asked.target) ?? [], found);
    for (const entry of freshened) entry.response = this.rules.freshen(entry.response, exchange, exchange);
    return freshened.length > 0 ? exchange.responseMs : this.#fetch(asked, exchange.responseMs, behaviour);
  }

  #keep(asked: Asked, exchange: Exchange): void {
    const key = asked.target;
    if (!this.rules.judgeStorage(asked, exchange, this.settings).store) return;
    const response = this.rules.toStored(asked, exchange, exchange);
    const same = JSON.stringify(response.varied);
    const others = (this.#entries.get(key) ?? []).filter((entry) => JSON.stringify(entry.response.varied) !== same);
    this.#entries.set(key, [{ response, base: exchange }, ...others]);
  }

  #ask(viewer: Asked, fields: Iterable<Field>, nowMs: number, behaviour: Behaviour): Exchange {
    const asked = { ...viewer, fields: [...fields] };
    const { status, changes, takesMs } = behaviour;
    if (changes || !this.#tags.has(asked.target)) this.#tags.set(asked.target, `"${++this.#count}"`);
    const etag = this.#tags.get(asked.target)!;
    const reading = asked.method === "GET" || asked.method === "HEAD";
    const unchanged = reading && status < 300 &&
      asked.fields.some(([name, v]) => name === "if-none-match" && v === etag);
    // One representation a variant: an ETag is of one body only.
    const own = reading ? [["etag", unchanged ? etag : this.#tag(asked.target)] as Field] : [];
    const responseMs = nowMs + takesMs;
    const date: Field[] = behaviour.fields.some(([name]) => name === "date") ? [] : [["date", httpDate(responseMs)]];
    const exchange: Exchange = {
      asked,
      viewer,
      status: unchanged ? 304 : status,
      fields: [...behaviour.fields, ...date, ...own],
      requestMs: nowMs,
      responseMs,
    };
    this.history.push(exchange);
    return exchange;
  }

  /** Each full answer is a representation of its own, and the current one. */
  #tag(target: string): string {
    const tag = `"${++this.#count}"`;
    this.#tags.set(target, tag);
    return tag;
  }
}
