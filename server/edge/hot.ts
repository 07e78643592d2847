/** Finished answers of what is asked for again and again, made from what stands in memory: {@link HotAnswers}. */
import type { HeaderLine } from "../../runtime/http1/transport.ts";
import { finish, type Finished } from "../../runtime/front/mod.ts";
import { notModified, type Signature, signed } from "./answers.ts";
import { fieldOf } from "./asked.ts";
import type { Entry } from "./cache/cache.ts";
import { ageOf, alwaysValidates, answerFields, freshUntil, type RuleSettings } from "./rules/mod.ts";
import type { StoredResponse } from "./response.ts";

interface Hot {
  entry: Entry;
  /** What it was made from: where the entry has another one now, it is no answer any more. */
  response: StoredResponse;
  finished: Finished;
}

/** Keeps finished answers, up to a number of bytes. */
export class HotAnswers {
  /** In order of their making, the oldest first. */
  readonly #answers = new Map<string, Hot>();
  #bytes = 0;

  constructor(readonly most: number, readonly signature: Signature, readonly rules: RuleSettings) {}

  /** The finished answer of a key; null where there is none. It counts as a use. */
  get(key: string, nowMs: number): Finished | null {
    const hot = this.#answers.get(key);
    if (!hot) return null;
    const { entry, response, finished } = hot;
    if (entry.gone || entry.response !== response || nowMs >= finished.untilMs) {
      this.#drop(key, hot);
      return null;
    }
    entry.use();
    return finished;
  }

  /** An entry was served: the next time its answer may be finished, where it is the same for all who ask. */
  offer(entry: Entry, nowMs: number): void {
    const { key, response, body } = entry;
    if (!body || body.length !== response.length || body.length > this.most / 8 || this.#answers.has(key)) return;
    if (response.status !== 200 || response.varied.length > 0 || fieldOf(response.fields, "vary") !== null) return;
    const untilMs = freshUntil(response, nowMs, this.rules);
    if (untilMs <= nowMs || alwaysValidates(response)) return;
    const finished = finishBoth(response, body, { nowMs, untilMs, signature: this.signature });
    this.#answers.set(key, { entry, response, finished });
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
