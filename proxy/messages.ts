/** What the main isolate and its workers tell each other. */
import type { Secrets } from "../runtime/guard.ts";
import type { ListenAddress } from "../runtime/listen.ts";
import type { TlsPair } from "../runtime/tls_pair.ts";
import type { Observation } from "./forwarding.ts";
import type { ProxySettings } from "./settings.ts";
import type { View } from "./view.ts";

/** Sizes of objects, by path. */
export type LearntSizes = [target: string, bytes: number][];

/** What counts of `ProxyTls` now. */
export interface WorkerTls {
  ca: readonly string[] | null;
  viewers: TlsPair | null;
}

/** To a worker. Secrets travel here and not by the environment, which a worker may not read. */
export type ToWorker =
  | {
    kind: "start";
    address: ListenAddress;
    settings: ProxySettings;
    secrets: Secrets;
    pseudonym: string;
    view: View;
    tls: WorkerTls;
  }
  | { kind: "tls"; tls: Partial<WorkerTls> }
  | { kind: "view"; view: View }
  | { kind: "sizes"; sizes: LearntSizes }
  | { kind: "stop"; graceMs: number };

/** From a worker. */
export type FromWorker =
  | { kind: "listening"; port: number }
  | { kind: "failed"; message: string }
  | { kind: "observed"; observations: Observation[]; sizes: LearntSizes }
  | { kind: "log"; level: "debug" | "info" | "warn" | "error"; message: string; fields: Record<string, unknown> }
  | { kind: "stopped" };
