/**
 * One of several isolates that answer on one port. It decides and forwards by the view that it is sent, and
 * sends back what it saw, in batches.
 */
import type { Listening } from "../runtime/listen.ts";
import { LiveValue } from "../runtime/live.ts";
import type { Logger } from "../runtime/log.ts";
import type { TlsPair } from "../runtime/tls_pair.ts";
import { Batch } from "./batch.ts";
import { Core } from "./core.ts";
import { openDoor } from "./door.ts";
import { createHandler } from "./handler.ts";
import type { FromWorker, LearntSizes, ToWorker } from "./messages.ts";
import { preciseNow } from "./create.ts";
import { createRawTransport } from "../runtime/http1/raw_transport.ts";
import { SizeMemory } from "./sizes.ts";
import type { Transport } from "../runtime/http1/transport.ts";
import type { View } from "./view.ts";

/** How long what was seen may wait to be sent, in milliseconds. */
const BATCH_MS = 100;
/** How much of it, before it goes at once. */
const BATCH_MOST = 512;

/** What is used of a worker's global scope; its types are not those of a page. */
const scope = self as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  close(): void;
};

let view: View;
let sizes: SizeMemory;
let listening: Listening;
let transport: Transport;
/** Null where there is no TLS on that side. */
let ca: LiveValue<readonly string[]> | null = null;
let viewers: LiveValue<TlsPair> | null = null;

const batch = new Batch();
let learnt: LearntSizes = [];
let timer: ReturnType<typeof setTimeout> | undefined;

function flush(): void {
  clearTimeout(timer);
  timer = undefined;
  if (batch.length === 0 && learnt.length === 0) return;
  scope.postMessage({ kind: "observed", observations: batch.take(), sizes: learnt });
  learnt = [];
}

function flushSoon(): void {
  if (batch.length >= BATCH_MOST) flush();
  else timer ??= setTimeout(flush, BATCH_MS);
}

const log = Object.fromEntries(
  (["debug", "info", "warn", "error"] as const).map((level) => [
    level,
    (message: string, fields: Record<string, unknown> = {}) =>
      scope.postMessage({ kind: "log", level, message, fields: cloneable(fields) }),
  ]),
) as unknown as Logger;

/** What cannot be sent as it is, as text. */
function cloneable(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? value.stack ?? String(value) : typeof value === "object" ? String(value) : value,
    ]),
  );
}

function start({ address, settings, secrets, pseudonym, tls }: Extract<ToWorker, { kind: "start" }>): void {
  ca = tls.ca && new LiveValue(tls.ca);
  viewers = tls.viewers && new LiveValue(tls.viewers);
  transport = createRawTransport({ ca });
  sizes = new SizeMemory({ assumedBytes: settings.assumedBytes });
  const core = new Core({
    settings,
    view: () => view,
    observe(observation) {
      batch.add(observation);
      flushSoon();
    },
    learnt(target, bytes) {
      learnt.push([target, bytes]);
      flushSoon();
    },
    sizes,
    port: () => listening.port,
    transport,
    pseudonym,
    log,
    now: preciseNow,
  });
  try {
    listening = openDoor(address, {
      core,
      handler: createHandler(core, secrets),
      settings,
      log,
      token: secrets.token,
      reusePort: true,
      tls: viewers,
    });
    scope.postMessage({ kind: "listening", port: listening.port });
  } catch (error) {
    scope.postMessage({ kind: "failed", message: (error as Error).message });
  }
}

scope.onmessage = async ({ data }) => {
  switch (data.kind) {
    case "start":
      view = data.view;
      return start(data);
    case "view":
      view = data.view;
      return;
    case "tls":
      if (data.tls.ca) ca?.set(data.tls.ca);
      if (data.tls.viewers) viewers?.set(data.tls.viewers);
      return;
    case "sizes":
      for (const [target, bytes] of data.sizes) sizes.learn(target, bytes);
      return;
    case "stop":
      await listening.close(data.graceMs);
      transport.close();
      flush();
      scope.postMessage({ kind: "stopped" });
      scope.close();
  }
};
