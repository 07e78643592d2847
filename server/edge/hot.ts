/** Finished answers of what is asked for again and again, made from what stands in memory: {@link HotAnswers}. */
import type { HeaderLine } from "../../runtime/http1/transport.ts";
import type { Finished } from "../../runtime/front/application.ts";
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
    const finished = finish(response, body, { nowMs, untilMs, signature: this.signature });
    this.#answers.set(key, { entry, response, finished });
    this.#bytes += finished.bytes.length;
    for (const [oldest, hot] of this.#answers) {
      if (this.#bytes <= this.most) break;
      this.#drop(oldest, hot);
    }
  }

  #drop(key: string, { finished }: Hot): void {
    this.#answers.delete(key);
    this.#bytes -= finished.bytes.length;
  }
}

const NO_BODY = new Uint8Array();

function finish(
  response: StoredResponse,
  body: Uint8Array<ArrayBuffer>,
  { nowMs, untilMs, signature }: { nowMs: number; untilMs: number; signature: Signature },
): Finished {
  const times = { bornMs: nowMs - ageOf(response, nowMs), untilMs };
  const etag = fieldOf(response.fields, "etag");
  const kept = notModified(response, nowMs);
  const headers: HeaderLine[] = [...answerFields(response, nowMs), ["content-length", String(body.length)]];
  return {
    ...write("200 OK", signed(headers, signature, { hit: true }), body),
    ...times,
    etag,
    notModified: etag === null ? null : {
      ...write("304 Not Modified", signed(kept.headers, signature, { hit: true }), NO_BODY),
      ...times,
      etag,
      notModified: null,
    },
  };
}

/** A head whose Age is ten digits, and its body behind it. */
function write(status: string, lines: readonly HeaderLine[], body: Uint8Array<ArrayBuffer>) {
  const age = "age: ";
  let text = `HTTP/1.1 ${status}\r\n`;
  for (const [name, value] of lines) if (name !== "age") text += `${name}: ${value}\r\n`;
  const ageAt = text.length + age.length;
  text += `${age}0000000000\r\n\r\n`;
  const bytes = new Uint8Array(text.length + body.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  bytes.set(body, text.length);
  // Date says when the response was made, not when it is sent (RFC 9111 §4.2.3): it stays as it is.
  return { bytes, headLength: text.length, dateAt: -1, ageAt };
}
