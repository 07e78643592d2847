/** The origin of a film and its page, which counts what is asked of it, and can be held or break off. */
import { film } from "./film.ts";

/** One request that came. */
export interface Asked {
  target: string;
  /** Its Range; null where the whole was asked for. */
  range: string | null;
  /** The edge that asked, as Via names it. */
  by: string;
  /** Bytes of the body that were sent so far. */
  sent: number;
}

/** What happens to an answer that has sent so many bytes: it waits to be let go, or it breaks off. */
interface Limit {
  bytes: number;
  then: "wait" | "break";
}

const PIECE_BYTES = 65_536;
const ETAG = '"the film"';

/** Serves on loopback until it is disposed of. */
export class FilmOrigin implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #page = Deno.readTextFile(new URL("page.html", import.meta.url));
  #limit: Limit = { bytes: Infinity, then: "wait" };
  #released = Promise.withResolvers<void>();

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {}, onError: () => new Response(null, { status: 500 }) },
      (request) => this.#answer(request),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** The requests for the film. */
  get film(): Asked[] {
    return this.asked.filter(({ target }) => target === "/film.mp4");
  }

  /** How many bytes of the film it has sent, in all answers together. */
  get sent(): number {
    return this.film.reduce((sum, { sent }) => sum + sent, 0);
  }

  /** From now on each answer waits after so many bytes, until {@link release} or {@link breakAfter}. */
  hold(bytes: number): void {
    this.#limit = { bytes, then: "wait" };
  }

  /** From now on each answer breaks off after so many bytes, those that wait too. */
  breakAfter(bytes: number): void {
    this.#go({ bytes, then: "break" });
  }

  /** From now on each answer goes on to its end. */
  release(): void {
    this.#go({ bytes: Infinity, then: "wait" });
  }

  #go(limit: Limit): void {
    this.#limit = limit;
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }

  async #answer({ method, url, headers }: Request): Promise<Response> {
    const { pathname: target } = new URL(url);
    const range = headers.get("range");
    const asked: Asked = { target, range, by: (headers.get("via") ?? "").split(" ").at(-1)!, sent: 0 };
    this.asked.push(asked);
    const fields: Record<string, string> = { "cache-control": "max-age=3600" };
    if (target === "/page.html") {
      return new Response(await this.#page, { headers: { ...fields, "content-type": "text/html" } });
    }
    if (target !== "/film.mp4") return new Response(null, { status: 404, headers: fields });
    const bytes = await film();
    Object.assign(fields, { "content-type": "video/mp4", "etag": ETAG, "accept-ranges": "bytes" });
    const wanted = /^bytes=(\d+)-(\d*)$/.exec((headers.get("if-range") ?? ETAG) === ETAG ? range ?? "" : "");
    const start = Number(wanted?.[1] ?? 0);
    const end = wanted?.[2] ? Math.min(Number(wanted[2]) + 1, bytes.length) : bytes.length;
    if (wanted && start >= end) {
      return new Response(null, { status: 416, headers: { ...fields, "content-range": `bytes */${bytes.length}` } });
    }
    if (wanted) fields["content-range"] = `bytes ${start}-${end - 1}/${bytes.length}`;
    fields["content-length"] = String(end - start);
    const body = method === "HEAD" ? null : this.#body(bytes.subarray(start, end), asked);
    return new Response(body, { status: wanted ? 206 : 200, headers: fields });
  }

  #body(bytes: Uint8Array<ArrayBuffer>, asked: Asked): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({
      pull: async (controller) => {
        while (asked.sent >= this.#limit.bytes) {
          if (this.#limit.then === "break") throw new Error("The origin breaks off, as it was told");
          await this.#released.promise;
        }
        const piece = bytes.subarray(asked.sent, asked.sent + Math.min(PIECE_BYTES, this.#limit.bytes - asked.sent));
        controller.enqueue(piece);
        asked.sent += piece.length;
        if (asked.sent === bytes.length) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.#server.shutdown();
  }
}
