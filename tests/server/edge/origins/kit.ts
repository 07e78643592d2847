/** What tests of origins share: a clock that stands still, requests, and answers read to their end. */
import { bodyInit } from "../../../../runtime/http1/body_source.ts";
import { createRawTransport } from "../../../../runtime/http1/raw_transport.ts";
import { type Transport, UpstreamError } from "../../../../runtime/http1/transport.ts";
import {
  createOrigins,
  type OriginRequest,
  type OriginResponse,
  type Origins,
} from "../../../../server/edge/origins/mod.ts";
import type { OriginsOptions } from "../../../../server/edge/origins/mod.ts";
import type { Schedule } from "../../../../server/cluster/wake.ts";
import { latin1 } from "../../../kit/fake_server.ts";

/** Time that passes when it is told to. */
export class Clock {
  #now = 1_000_000;
  readonly #alarms = new Set<{ atMs: number; action: () => void }>();

  readonly now = (): number => this.#now;

  readonly schedule: Schedule = (action, ms) => {
    const alarm = { atMs: this.#now + ms, action };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  };

  /** How long until each alarm, the next first. */
  get alarms(): number[] {
    return [...this.#alarms].map(({ atMs }) => atMs - this.#now).sort((a, b) => a - b);
  }

  /** Lets time pass, and rings what is due. */
  pass(ms: number): void {
    this.#now += ms;
    for (const alarm of [...this.#alarms]) {
      if (alarm.atMs <= this.#now && this.#alarms.delete(alarm)) alarm.action();
    }
  }
}

/** A client that reaches nobody as long as `down` says so. */
export function reaching(down: () => boolean): Transport & Disposable {
  const real = createRawTransport();
  return {
    // deno-lint-ignore require-await -- so that what is thrown rejects
    async send(request) {
      if (down()) throw new UpstreamError("Cannot connect: nobody there", "connect", false);
      return real.send(request);
    },
    close: () => real.close(),
    [Symbol.dispose]: () => real.close(),
  };
}

/** The same for its first request alone. */
export function reachingFromTheSecond(): Transport & Disposable {
  let sent = 0;
  return reaching(() => sent++ === 0);
}

/** No jitter: the middle of what it may be. */
export const middle = () => 0.5;

/** Origins that are closed when the test is over. */
export function origins(options: OriginsOptions): Origins & Disposable {
  const made = createOrigins(options);
  return Object.assign(made, { [Symbol.dispose]: () => made.close() });
}

/** A GET of /x, unless told. */
export function request(change: Partial<OriginRequest> = {}): OriginRequest {
  const { signal } = new AbortController();
  return { method: "GET", target: "/x", fields: [], body: null, bodyLength: null, signal, ...change };
}

/** Its body to the end. */
export async function text({ body }: OriginResponse): Promise<string> {
  return body ? latin1(new Uint8Array(await new Response(bodyInit(body)).arrayBuffer())) : "";
}

/** Sends a request and reads the answer: its status and body. */
export async function ask(from: Origins, change: Partial<OriginRequest> = {}): Promise<string> {
  const response = await from.send(request(change));
  return `${response.status} ${await text(response)}`;
}

/** An answer's bytes. */
export function answer(status: number, body = "", fields = ""): string {
  return `HTTP/1.1 ${status} Whatever\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** A stream of bytes. */
export function stream(...pieces: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece)));
}

/** An address where nobody listens. */
export function nobody(): string {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return `http://127.0.0.1:${port}`;
}
