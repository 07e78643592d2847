/**
 * A story: viewers, an edge and an origin, step by step. The origin answers when a step says so, a body comes and is read
 * when a step says so, and time goes on when a step says so; between two steps everything settles that can. What happened
 * is numbered, so that a judge knows what was before what.
 */
import { setImmediate } from "node:timers";
import { CdnError } from "../../../proto/mod.ts";
import type { Answered } from "../../../runtime/front/application.ts";
import { copyFinished } from "../../../runtime/front/finished.ts";
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import type { Cache, Selection } from "../../../server/edge/cache/cache.ts";
import type { Edge } from "../../../server/edge/edge.ts";
import type { OriginRequest } from "../../../server/edge/origins/mod.ts";
import { Stop } from "../../../runtime/http1/stop.ts";
import { formatHttpDate } from "../../../server/serve/http_date.ts";
import type { TimedField } from "./generators.ts";
import { asking, asText, ManualBody, type Reply, START, world } from "./kit.ts";
import type { Asked, Contract, Exchange, Field } from "./model.ts";
import { type Behaviour, type Representation, Resources } from "./story_origin.ts";

export const contract: Contract = { heuristicShare: 0.1, heuristicMostMs: 86_400_000, staleOnErrorMs: 3000 };

/** What happens next. `which` is taken modulo the number of those that there are. */
export type Step =
  & { soon?: boolean }
  & (
    | Asks
    | { kind: "wait"; ms: number }
    /** An origin's answer begins. */
    | { kind: "head"; which: number }
    /** So much of an origin's body comes. */
    | { kind: "bytes"; which: number; count: number }
    /** A slow viewer reads once. */
    | { kind: "read"; which: number }
    | { kind: "leave"; which: number }
    | { kind: "purge"; selection: Selection; soft: boolean }
  );

export interface Asks {
  kind: "ask";
  method: string;
  target: string;
  fields: TimedField[];
  /** Nothing else happens until it has its answer. */
  whole: boolean;
  /** How it reads: as it comes, once for each "read", or so many bytes before it goes away. */
  reads: "all" | "slow" | number;
  /** How the origin treats what it is asked because of it, one after the other. */
  behaviours: Behaviour[];
}

/** An exchange with the origin; moments are numbers, Infinity before they come. */
export interface Told extends Exchange {
  number: number;
  viewer: Asked;
  by: Viewer;
  behaviour: Behaviour;
  sent: number;
  /** When the origin made up its mind: what it did or said was true then. */
  made: number;
  came: number;
  /** Nobody waited for it any more. */
  left: boolean;
  failed: boolean;
  /** Its body broke off. */
  broke: boolean;
  body: Representation | null;
}

export interface Viewer {
  number: number;
  asks: Asks;
  asked: Asked;
  began: number;
  answered: number;
  /** The time at those moments. */
  beganMs: number;
  answeredMs: number;
  status: number;
  fields: Field[];
  bytes: Uint8Array;
  body: "open" | "whole" | "broke" | "given up";
  error: unknown;
  left: boolean;
  hot: boolean;
}

export interface Purge {
  selection: Selection;
  soft: boolean;
  began: number;
  done: number;
}

interface Waiting {
  exchange: Told;
  answer(): void;
}

interface Coming {
  body: ManualBody;
  content: Uint8Array;
  fed: number;
  exchange: Told;
}

const NAMELESS: ReadonlySet<string> = new Set(["forwarded", "via", "cdn-loop", "x-viewer"]);

/** Plays steps. */
export class Story {
  readonly exchanges: Told[] = [];
  readonly viewers: Viewer[] = [];
  readonly purges: Purge[] = [];
  /** All times that there were. */
  readonly times: number[] = [START];
  readonly transcript: string[] = [];
  readonly resources = new Resources();
  readonly edge: Edge;
  readonly #clock: { nowMs: number };
  readonly #waiting: Waiting[] = [];
  #coming: Coming[] = [];
  readonly #slow: { viewer: Viewer; turn: PromiseWithResolvers<void> }[] = [];
  readonly #stops = new Map<Viewer, Stop>();
  #moment = 0;
  #atEnd = false;

  constructor(cache: Cache) {
    const here = world((request) => this.#asked(request), { cache, rules: contract });
    this.edge = here.edge;
    this.#clock = here.clock;
    this.#clock.nowMs += 123;
    this.times.push(this.#clock.nowMs);
  }

  get nowMs(): number {
    return this.#clock.nowMs;
  }

  /** Plays all steps, and then lets everything come that is still to come. */
  async play(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      this.#play(step);
      if (step.kind === "ask" && step.whole) await this.#finish(false);
      else if (!step.soon) await settle();
    }
    await this.#finish(true);
  }

  /** Everything comes; viewers that are slow stay so until the end. */
  async #finish(atEnd: boolean): Promise<void> {
    this.#atEnd ||= atEnd;
    for (let round = 0; round < 500; round++) {
      await settle();
      const turns = atEnd ? this.#slow.splice(0) : [];
      for (const { turn } of turns) turn.resolve();
      const [waiting] = this.#waiting;
      if (waiting) {
        this.#wait(waiting.exchange.behaviour.takesMs);
        this.#answer(0);
      }
      const coming = this.#coming.length;
      for (const one of [...this.#coming]) this.#feed(one, Infinity);
      if (!waiting && coming === 0 && turns.length === 0) return;
    }
    this.transcript.push("… and so on for ever");
  }

  #play(step: Step): void {
    switch (step.kind) {
      case "ask":
        return this.#ask(step);
      case "wait":
        return this.#wait(step.ms);
      case "head":
        return this.#waiting.length > 0 ? this.#answer(step.which % this.#waiting.length) : undefined;
      case "bytes": {
        const coming = this.#coming[step.which % this.#coming.length];
        return coming && this.#feed(coming, step.count);
      }
      case "read": {
        const [slow] = this.#slow.splice(step.which % (this.#slow.length || 1), 1);
        return slow?.turn.resolve();
      }
      case "leave": {
        const waiting = this.viewers.filter(({ answered, left }) => answered === Infinity && !left);
        const viewer = waiting[step.which % waiting.length];
        if (!viewer) return;
        viewer.left = true;
        this.#tell(`viewer ${viewer.number} goes away`);
        return this.#stops.get(viewer)!.abort();
      }
      case "purge":
        return void this.#purge(step);
    }
  }

  #wait(ms: number): void {
    if (ms === 0) return;
    this.#clock.nowMs += ms;
    this.times.push(this.nowMs);
    this.#tell("");
  }

  async #purge({ selection, soft }: Step & { kind: "purge" }): Promise<void> {
    const purge: Purge = { selection, soft, began: ++this.#moment, done: Infinity };
    this.purges.push(purge);
    this.#tell(`purge${soft ? " softly" : ""} ${JSON.stringify(selection)}`);
    await this.edge.purge(selection, { soft });
    purge.done = ++this.#moment;
  }

  // ---- viewers

  #ask(asks: Asks): void {
    const { method, target } = asks;
    const fields = this.#timed(asks.fields);
    const viewer: Viewer = {
      number: this.viewers.length,
      asks,
      asked: { method, target, fields },
      began: ++this.#moment,
      beganMs: this.nowMs,
      answered: Infinity,
      answeredMs: Infinity,
      status: 0,
      fields: [],
      bytes: new Uint8Array(),
      body: "open",
      error: null,
      left: false,
      hot: false,
    };
    this.viewers.push(viewer);
    this.#tell(`viewer ${viewer.number}: ${method} ${target}${shown(fields)}`);
    if (this.#hot(viewer)) return;
    const signal = new Stop();
    this.#stops.set(viewer, signal);
    const asked = asking(target, { method, signal, fields: [...fields, ["x-viewer", String(viewer.number)]] });
    void this.#answered(viewer, this.edge.answer(asked));
  }

  /** As a front asks: without fields, or with the very tag. */
  #hot(viewer: Viewer): boolean {
    const { method, target, fields } = viewer.asked;
    const tag = fields[0]?.[0] === "if-none-match" ? fields[0][1] : null;
    if (fields.length > (tag === null ? 0 : 1) || (method !== "GET" && method !== "HEAD")) return false;
    const whole = this.edge.hot(target);
    const finished = whole && tag !== null && whole.etag === tag ? whole.notModified! : whole;
    if (!finished || (tag !== null && finished === whole)) return false;
    const into = new Uint8Array(finished.bytes.length);
    const length = copyFinished(finished, this.nowMs, into, 0, { body: method === "GET", end: "\r\n" });
    const head = asText(into.subarray(0, finished.headLength)).split("\r\n");
    viewer.hot = true;
    viewer.bytes = into.subarray(finished.headLength, length);
    viewer.body = "whole";
    this.#head(
      viewer,
      Number(head[0]!.split(" ")[1]),
      head.slice(1, -2).map((line): Field => {
        const at = line.indexOf(":");
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
      }),
    );
    return true;
  }

  async #answered(viewer: Viewer, answer: Promise<Answered>): Promise<void> {
    let answered: Answered;
    try {
      answered = await answer;
    } catch (error) {
      viewer.answered = ++this.#moment;
      viewer.answeredMs = this.nowMs;
      viewer.error = error;
      viewer.body = "broke";
      return this.#tell(`  viewer ${viewer.number} gets an error: ${error}`);
    }
    this.#head(viewer, answered.status, answered.headers as Field[]);
    const { body } = answered;
    if (body === null || typeof body === "string" || body instanceof Uint8Array) {
      viewer.bytes = typeof body === "string" ? new TextEncoder().encode(body) : body ?? viewer.bytes;
      viewer.body = "whole";
    } else await this.#read(viewer, body);
  }

  async #read(viewer: Viewer, body: Exclude<Answered["body"], string | Uint8Array | null>): Promise<void> {
    const { reads } = viewer.asks;
    const into = new Uint8Array(typeof reads === "number" ? 20_000 : 100_000);
    const parts: Uint8Array[] = [];
    let length = 0;
    try {
      while (true) {
        if (reads === "slow" && !this.#atEnd) {
          const turn = Promise.withResolvers<void>();
          this.#slow.push({ viewer, turn });
          await turn.promise;
        }
        if (typeof reads === "number" && length >= reads) {
          body.cancel();
          viewer.body = "given up";
          break;
        }
        const count = body.take(into) || await body.read(into);
        if (count === null) {
          viewer.body = "whole";
          break;
        }
        parts.push(into.slice(0, count));
        length += count;
      }
    } catch (error) {
      viewer.body = "broke";
      viewer.error = error;
    }
    viewer.bytes = joined(parts, length);
    const because = viewer.error ? ` (${viewer.error})` : "";
    this.#tell(`  viewer ${viewer.number}: the body of ${length} bytes is ${viewer.body}${because}`);
  }

  #head(viewer: Viewer, status: number, fields: Field[]): void {
    Object.assign(viewer, { status, fields, answered: ++this.#moment, answeredMs: this.nowMs });
    this.#tell(`  viewer ${viewer.number} gets ${status}${shown(fields)}${viewer.hot ? " from what is finished" : ""}`);
  }

  // ---- the origin

  async #asked(request: OriginRequest): Promise<Reply> {
    const { method, target, signal } = request;
    const by = this.viewers[Number(request.fields.find(([name]) => name === "x-viewer")![1])]!;
    const { behaviours } = by.asks;
    const before = this.exchanges.filter((exchange) => exchange.by === by).length;
    const behaviour = behaviours[Math.min(before, behaviours.length - 1)]!;
    const fields = request.fields.filter(([name]) => !NAMELESS.has(name)) as Field[];
    const exchange: Told = {
      number: this.exchanges.length,
      asked: { method, target, fields },
      viewer: by.asked,
      by,
      behaviour,
      sent: ++this.#moment,
      made: Infinity,
      came: Infinity,
      requestMs: this.nowMs,
      responseMs: Infinity,
      status: 0,
      fields: [],
      left: false,
      failed: false,
      broke: false,
      body: null,
    };
    this.exchanges.push(exchange);
    this.#tell(`    origin is asked (${exchange.number}, for ${by.number}): ${method} ${target}${shown(fields)}`);
    if (behaviour.early) this.#make(exchange);
    const answer = Promise.withResolvers<void>();
    const waiting = { exchange, answer: answer.resolve };
    this.#waiting.push(waiting);
    signal.addEventListener("abort", () => {
      const at = this.#waiting.indexOf(waiting);
      if (at >= 0) this.#waiting.splice(at, 1);
      exchange.left = true;
      answer.reject(new CdnError("nobody waits", { source: "client", status: 499 }));
    });
    await answer.promise;
    if (exchange.made === Infinity) this.#make(exchange);
    exchange.came = ++this.#moment;
    exchange.responseMs = this.nowMs;
    if (behaviour.fault === "down") {
      Object.assign(exchange, { failed: true, status: 0, fields: [] });
      this.#tell(`    origin is down (${exchange.number})`);
      throw new CdnError("no origin answers", { source: "origin", status: 502 });
    }
    exchange.failed = exchange.status >= 500;
    this.#tell(`    origin answers (${exchange.number}): ${exchange.status}${shown(exchange.fields)}`);
    return this.#reply(exchange);
  }

  #make(exchange: Told): void {
    exchange.made = ++this.#moment;
    const { status, fields, body } = this.resources.answer(exchange, exchange.behaviour);
    const timed = this.#timed(exchange.behaviour.fields);
    const date: Field[] = timed.some(([name]) => name === "date") ? [] : [["date", formatHttpDate(this.nowMs)]];
    // What stays of an answer in what is stored shows by a field that only it has.
    const own: Field = [`x-of-${exchange.number}`, "1"];
    Object.assign(exchange, { status, body, fields: [...timed, ...date, ...fields, own] });
    exchange.representation = body ? String(body.number) : `none-${exchange.number}`;
  }

  #reply(exchange: Told): Reply {
    const { behaviour, status, asked, body } = exchange;
    const fields = exchange.fields.filter(([name]) => name !== "content-length" || !behaviour.unknownLength);
    const bodiless = asked.method !== "GET" || body === null || status === 304;
    if (bodiless) return { status, fields: fields as HeaderLine[], body: asked.method === "GET" ? null : "" };
    const content = this.resources.bytesOf(exchange, body);
    const manual = new ManualBody();
    const coming: Coming = { body: manual, content, fed: 0, exchange };
    this.#coming.push(coming);
    this.#feed(coming, behaviour.atOnce);
    return { status, fields: fields as HeaderLine[], body: manual };
  }

  #answer(which: number): void {
    this.#waiting.splice(which, 1)[0]!.answer();
  }

  #feed(coming: Coming, count: number): void {
    const { body, content, exchange } = coming;
    const breaks = exchange.behaviour.fault === "breaks" ? Math.floor(content.length / 2) : Infinity;
    const until = Math.min(content.length, coming.fed + count, breaks);
    if (until > coming.fed) body.push(content.slice(coming.fed, until));
    coming.fed = until;
    if (until === breaks) {
      exchange.broke = true;
      body.fail();
      this.#tell(`    the body of ${exchange.number} breaks off at ${until}`);
    } else if (until === content.length) body.end();
    if (until === breaks || until === content.length || body.cancelled) {
      this.#coming = this.#coming.filter((other) => other !== coming);
    }
  }

  #timed(fields: readonly TimedField[]): Field[] {
    return fields.map(([name, value]): Field => [
      name,
      typeof value === "number" ? formatHttpDate(this.nowMs + value) : value,
    ]);
  }

  #tell(what: string): void {
    const time = ((this.nowMs - START) / 1000).toFixed(3);
    this.transcript.push(what === "" ? `(${time} s)` : `${String(this.#moment).padStart(4)} ${what}`);
  }
}

/** Lets everything happen that waits for nothing. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function shown(fields: readonly Field[]): string {
  const told = fields.filter(([name]) => !NAMELESS.has(name));
  return told.length === 0 ? "" : `  { ${told.map(([name, value]) => `${name}: ${value}`).join(" | ")} }`;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
