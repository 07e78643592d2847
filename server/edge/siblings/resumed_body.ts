/** The body of a sibling's answer: where it breaks off, the origin sends the rest. */
import type { BodySource } from "../../../runtime/http1/body_source.ts";
import { CONDITIONS } from "../../../runtime/http1/pass_on.ts";
import { type HeaderLine, UpstreamError, type UpstreamResponse } from "../../../runtime/http1/transport.ts";
import type { OriginRequest, Origins } from "../origins/origins.ts";
import { parseContentRange } from "../rules/mod.ts";

/** What resuming works with. */
export interface ResumeOptions {
  /** What the sibling was asked. */
  request: OriginRequest;
  origins: Pick<Origins, "send">;
  /** It broke off. */
  onBreak: () => void;
}

/** A body whose bytes, by a strong validator, any of its sources may send (RFC 9110 §15.3.7.3). */
export class ResumedBody implements BodySource {
  readonly #options: ResumeOptions;
  readonly #etag: string;
  /** The end of the wanted part in the whole, as a range names it; empty: the end of the whole. */
  readonly #last: string;
  #source: BodySource;
  /** Where in the whole the next byte stands. */
  #at: number;
  #resumed = false;

  private constructor(source: BodySource, etag: string, at: number, last: string, options: ResumeOptions) {
    this.#source = source;
    this.#etag = etag;
    this.#at = at;
    this.#last = last;
    this.#options = options;
  }

  /** Null where the answer does not say enough: then its body stands or falls with the sibling. */
  static of({ status, headers, body }: UpstreamResponse, options: ResumeOptions): ResumedBody | null {
    const etag = only(headers, "etag");
    if (!body || options.request.method !== "GET" || !etag?.startsWith('"')) return null;
    if (status === 200) return new ResumedBody(body, etag, 0, "", options);
    const part = parseContentRange({ status, fields: headers });
    return part?.length == null ? null : new ResumedBody(body, etag, part.start, String(part.end - 1), options);
  }

  get done(): boolean {
    return this.#source.done;
  }

  get held(): number {
    return this.#source.held;
  }

  get ready(): boolean {
    return this.#source.ready;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    const count = this.#source.take(into);
    this.#at += count;
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    for (;;) {
      try {
        const count = await this.#source.read(into);
        this.#at += count ?? 0;
        return count;
      } catch (error) {
        if (this.#resumed || !(error instanceof UpstreamError) || error.kind === "aborted") throw error;
        this.#resumed = true;
        this.#options.onBreak();
        this.#source = await this.#rest(error);
      }
    }
  }

  cancel(): void {
    this.#source.cancel();
  }

  /** @throws {UpstreamError} what broke the first, where the origin has no such rest */
  async #rest(broken: UpstreamError): Promise<BodySource> {
    const { request, origins } = this.#options;
    const { status, headers, body } = await origins.send({
      ...request,
      fields: [
        ...request.fields.filter(([name]) => !CONDITIONS.has(name)),
        ["range", `bytes=${this.#at}-${this.#last}`],
        ["if-range", this.#etag],
      ],
    });
    const part = parseContentRange({ status, fields: headers });
    const isRest = part?.length != null && part.start === this.#at &&
      (this.#last === "" ? part.end === part.length : `${part.end - 1}` === this.#last);
    if (body && isRest && only(headers, "etag") === this.#etag) return body;
    body?.cancel();
    throw broken;
  }
}

/** The value of a field that stands once; null for any other. */
function only(headers: readonly HeaderLine[], name: string): string | null {
  const lines = headers.filter(([field]) => field === name);
  return lines.length === 1 ? lines[0]![1] : null;
}
