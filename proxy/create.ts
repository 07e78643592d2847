/** Puts a proxy together from its parts. */
import { encodeHex } from "@std/encoding/hex";
import type { Codec } from "../proto/mod.ts";
import { noSecrets, type Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import type { Live } from "../runtime/live.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import type { TlsSource } from "../runtime/tls_source.ts";
import { Brain } from "./brain.ts";
import { Core } from "./core.ts";
import { createHandler } from "./handler.ts";
import { createRawTransport } from "../runtime/http1/raw_transport.ts";
import { type ProxySettings, proxySettings } from "./settings.ts";
import { SizeMemory } from "./sizes.ts";
import type { Transport } from "../runtime/http1/transport.ts";
import type { View } from "./view.ts";

/** What a proxy is made from; everything has a default. */
export interface ProxyOptions {
  /** How it measures and decides. */
  settings?: Partial<ProxySettings>;
  /** None unless given: then it must listen on loopback. */
  secrets?: Secrets;
  /** Silent unless given. */
  log?: Logger;
  /** TLS to servers and viewers; none unless given. */
  tls?: ProxyTls;
  /** A transport for forwarding, and one for each probe. */
  openTransport?: () => Transport;
  /** For the messages to servers and pricing servers. */
  fetch?: typeof fetch;
  /** How those are written; JSON unless given. */
  codec?: Codec;
  /** Milliseconds since 1970, with a fraction. */
  now?: () => number;
  /** From [0, 1): spreads probes. */
  random?: () => number;
  /** A name that no other run of any proxy has: the reporter of usage, and our name in Via. */
  id?: string;
}

/** Where a proxy talks TLS. */
export interface ProxyTls {
  /**
   * The CAs (PEM) of servers that have an `https://` URL, beside those that Deno knows: then those alone are asked, and
   * what runs on this machine. For messages, `fetch` must trust them too.
   */
  ca?: Live<readonly string[]> | null;
  /** What viewers see: HTTP/1.1 by the front, HTTP/2 by the `Deno.serve` behind it. */
  viewers?: TlsSource | null;
}

/** A proxy that has its parts, but does not listen. */
export interface Proxy {
  /** What every door leads to. */
  core: Core;
  /** Answers a request that came by `Deno.serve`. */
  handler: Handler;
  /** Begins to learn and measure. `port` is the one that it is reached at. */
  start(port: number): void;
  /** What is known now. */
  view(): View;
  /** Ends it, after a last report of usage. */
  close(): Promise<void>;
}

/** The wall clock, finer than a millisecond. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}

/** A name that no other run of any proxy has. */
export function newProxyId(): string {
  return `proxy-${encodeHex(crypto.getRandomValues(new Uint8Array(6)))}`;
}

/** Puts a proxy together. `serveProxy` does that and listens. */
export function createProxy(options: ProxyOptions = {}): Proxy {
  const { secrets = noSecrets, log = silentLogger, now = preciseNow, id = newProxyId() } = options;
  const openTransport = transportOf(options);
  const settings = proxySettings(options.settings);
  const brain = createBrain({ ...options, id }, settings);
  const transport = openTransport();
  let port = 0;
  const core = new Core({
    settings,
    view: () => brain.view(),
    observe: (observation) => brain.observe(observation),
    sizes: new SizeMemory({ assumedBytes: settings.assumedBytes }),
    port: () => port,
    transport,
    pseudonym: id,
    log,
    now,
  });
  return {
    core,
    handler: createHandler(core, secrets),
    start(at) {
      port = at;
      brain.start();
    },
    view: () => brain.view(),
    async close() {
      await brain.close();
      transport.close();
    },
  };
}

/** The learning half of a proxy alone: what the main isolate holds where workers answer. */
export function createBrain(options: ProxyOptions & { id: string }, settings: ProxySettings): Brain {
  const { secrets = noSecrets, log = silentLogger, now = preciseNow, random = Math.random } = options;
  return new Brain({
    settings,
    clusterKey: secrets.clusterKey,
    token: secrets.token,
    openTransport: transportOf(options),
    log,
    now,
    random,
    fetch: options.fetch ?? globalThis.fetch,
    ...(options.codec ? { codec: options.codec } : {}),
    reporter: options.id,
  });
}

function transportOf({ openTransport, tls }: ProxyOptions): () => Transport {
  return openTransport ?? (() => createRawTransport({ ca: tls?.ca ?? null }));
}
