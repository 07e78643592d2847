/** Finished answers of what is asked for again and again: {@link HotAnswers}. */
import { fieldOf } from "../../runtime/http1/lines.ts";
import type { HeaderLine } from "../../runtime/http1/transport.ts";
import { finish, type Finished } from "../../runtime/front/mod.ts";
import { notModified, type Signature, signed } from "./answers.ts";
import type { Entry } from "./cache/cache.ts";
import { ageOf, alwaysValidates, answerFields, freshUntil, type RuleSettings } from "./rules/mod.ts";
import type { StoredResponse } from "./response.ts";

interface Hot {
  entry: Entry;
  /** What it was made from: where the entry has another one now, it is no answer any more. */
  response: StoredResponse;
  finished: Finished;
  /** How often it was given. */
  given: number;
}

/** Each so many times that an answer is given, its entry is told: what is told so often loses nothing by it. */
const TOLD_EACH = 16;

/** A body that is not in memory is read for a finished answer when it was served so often. */
const OFTEN = 3;
/** The most keys whose serving is counted. */
const MOST_COUNTED = 1000;

/** Keeps finished answers, up to a number of bytes. */
export class HotAnswers {
  /** In order of their making, the oldest first. */
  readonly #answers = new Map<string, Hot>();
  #served = new Map<string, number>();
  #bytes = 0;

  constructor(readonly most: number, readonly signature: Signature, readonly rules: RuleSettings) {}

  /** What they take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The finished answer of a key; null where there is none. */
  get(key: string, nowMs: number): Finished | null {
    const hot = this.#answers.get(key);
    if (!hot) return null;
    const { entry, response, finished } = hot;
    if (entry.gone || entry.response !== response || nowMs >= finished.untilMs) {
      this.#drop(key, hot);
      return null;
    }
    if (++hot.given % TOLD_EACH === 0) entry.use();
    return finished;
  }

  /** An entry was served: the next time its answer may be finished, where it is the same for all who ask. */
  offer(entry: Entry, nowMs: number): void {
    const { key, response, body } = entry;
    const { length } = response;
    if (length === null || length > this.most / 8 || this.#answers.has(key) || !isForAll(response)) return;
    const untilMs = freshUntil(response, nowMs, this.rules);
    if (untilMs <= nowMs) return;
    if (body) this.#keep(entry, response, body, nowMs, untilMs);
    else if (this.#isOften(key)) this.#load(entry, response, length, nowMs, untilMs);
  }

  #isOften(key: string): boolean {
    const count = (this.#served.get(key) ?? 0) + 1;
    if (this.#served.size >= MOST_COUNTED) this.#served = new Map();
    this.#served.set(key, count);
    return count === OFTEN;
  }

  /** Reads a body that is held as a whole. */
  async #load(entry: Entry, response: StoredResponse, length: number, nowMs: number, untilMs: number): Promise<void> {
    const body = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const count = await entry.read(at, body.subarray(at)).catch(() => 0);
      if (count === 0) return;
      at += count;
    }
    this.#served.delete(entry.key);
    if (!entry.gone && entry.response === response) this.#keep(entry, response, body, nowMs, untilMs);
  }

  #keep(
    entry: Entry,
    response: StoredResponse,
    body: Uint8Array<ArrayBuffer>,
    nowMs: number,
    untilMs: number,
  ): void {
    const finished = finishBoth(response, body, { nowMs, untilMs, signature: this.signature });
    const before = this.#answers.get(entry.key);
    if (before) this.#drop(entry.key, before);
    this.#answers.set(entry.key, { entry, response, finished, given: 0 });
    this.#bytes += sizeOf(finished);
    for (const [oldest, hot] of this.#answers) {
      if (this.#bytes <= this.most) break;
      this.#drop(oldest, hot);
    }
  }

  #drop(key: string, { finished }: Hot): void {
    this.#answers.delete(key);
    this.#bytes -= sizeOf(finished);
  }
}

/** True where whoever asks gets the same, without a question to the origin. */
function isForAll(response: StoredResponse): boolean {
  return response.status === 200 && response.varied.length === 0 && fieldOf(response.fields, "vary") === null &&
    !alwaysValidates(response);
}

/** What it takes, with the 304 that belongs to it. */
function sizeOf({ bytes, notModified }: Finished): number {
  return bytes.length + (notModified?.bytes.length ?? 0);
}

/** Both what has the body, and the 304 for who has it already. */
function finishBoth(
  response: StoredResponse,
  body: Uint8Array<ArrayBuffer>,
  { nowMs, untilMs, signature }: { nowMs: number; untilMs: number; signature: Signature },
): Finished {
  const etag = fieldOf(response.fields, "etag");
  // Date says when the response was made, not when it is sent (RFC 9111 §4.2.3); what grows is Age.
  const times = { bornMs: nowMs - ageOf(response, nowMs), untilMs, keepsDate: true };
  const headers: HeaderLine[] = [...answerFields(response, nowMs), ["content-length", String(body.length)]];
  return finish(200, signed(headers, signature, { hit: true }), body, {
    ...times,
    etag,
    notModified: etag === null
      ? null
      : finish(304, signed(notModified(response, nowMs).headers, signature, { hit: true }), null, { ...times, etag }),
  });
}
