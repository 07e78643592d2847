/** The settings of a proxy: defaults and checks together. */
import { type Policy, secondNanoOf } from "./score.ts";

/** How a proxy measures and decides; each has a default. Times in milliseconds. */
export interface ProxySettings {
  /** Where the list of servers is asked for: the first that answers; the others, and those on the list, are fallbacks. */
  servers: readonly string[];
  /** Pricing servers: prices are asked of one that answers, usage is told to each; may be empty. */
  pricing: readonly string[];
  /** What decides. */
  policy: Policy;
  /** 0: price alone; 1: time alone (docs/routing.md). */
  weight: number;
  /** Host names that it answers for, beside those of the known servers and its own addresses. */
  names: readonly string[];
  /** How often the list of servers is asked for. */
  listIntervalMs: number;
  /** How long a server or a pricing server that did not answer a question is asked only after the others. */
  avoidMs: number;
  /** How often each round trip is measured. */
  probeIntervalMs: number;
  /** How long a probe may take. */
  probeTimeoutMs: number;
  /** How often some bytes are fetched to measure a rate, where no real transfer did. */
  sampleIntervalMs: number;
  /** How many bytes are fetched for that. */
  sampleBytes: number;
  /** How often prices are asked for. */
  priceIntervalMs: number;
  /** How often usage is reported. */
  usageIntervalMs: number;
  /** Least time between two published views. */
  publishIntervalMs: number;
  /** How long a server may take to send the head of its answer. */
  headTimeoutMs: number;
  /** How long a server may pause in the middle of a body. */
  idleTimeoutMs: number;
  /** How long a connection to a server is taken to stay open after a transfer. */
  warmMs: number;
  /** The size of an object that was not seen yet, in bytes. */
  assumedBytes: number;
  /** How many servers a request is tried at. */
  attempts: number;
  /** Answers plain requests on raw sockets, before `Deno.serve`. The settings below are the front's. */
  front: boolean;
  /** Most viewers at a time, in one isolate: what connects beyond them is closed. */
  mostViewers: number;
  /** How long a request's head may take from its first byte to its last. */
  viewerHeadMs: number;
  /** How long a viewer may be silent between requests, or take nothing of an answer. */
  viewerIdleMs: number;
  /** How long nothing may come either way on a connection that `Deno.serve` answers. */
  tunnelIdleMs: number;
}

/** The defaults. */
export const PROXY_DEFAULTS: ProxySettings = {
  servers: ["http://127.0.0.1:8080"],
  pricing: ["http://127.0.0.1:8090"],
  policy: "combined",
  weight: 0.5,
  names: [],
  listIntervalMs: 3000,
  avoidMs: 30_000,
  probeIntervalMs: 5000,
  probeTimeoutMs: 5000,
  sampleIntervalMs: 60_000,
  sampleBytes: 256 << 10,
  priceIntervalMs: 2000,
  usageIntervalMs: 5000,
  publishIntervalMs: 100,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 15_000,
  warmMs: 10_000,
  assumedBytes: 256 << 10,
  attempts: 8,
  front: true,
  mostViewers: 5000,
  viewerHeadMs: 10_000,
  viewerIdleMs: 60_000,
  tunnelIdleMs: 120_000,
};

/** The settings given, with the defaults for the others. Throws a `RangeError` for one that makes no sense. */
export function proxySettings(given: Partial<ProxySettings> = {}): ProxySettings {
  const settings = { ...PROXY_DEFAULTS, ...given };
  secondNanoOf(settings.weight);
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "number" && name !== "weight" && !(value > 0)) throw new RangeError(`${name} must be above 0`);
  }
  if (settings.servers.length === 0) throw new RangeError("at least one server must be given");
  return { ...settings, names: settings.names.map((name) => name.toLowerCase()) };
}
