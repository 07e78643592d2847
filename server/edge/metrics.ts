/**
 * An edge's figures as Prometheus scrapes them. Pure.
 *
 * The text exposition format, version 0.0.4: `# HELP`, `# TYPE`, then a line a sample. Names follow Prometheus'
 * conventions: base units, and `_total` where a figure only grows.
 * https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/practices/naming/
 */
import type { wire } from "../../proto/mod.ts";

/** The media type of what {@link edgeMetrics} writes. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Samples = [labels: Record<string, string>, value: bigint | number | boolean][];

/** A status as text. */
export function edgeMetrics(status: wire.EdgeStatus): string {
  const { cache, origins } = status;
  const each = (value: (origin: wire.OriginStatus) => bigint | number | boolean): Samples =>
    origins.map((origin) => [{ origin: origin.url }, value(origin)]);
  return [
    family("requests_total", "counter", "Requests, by how they were answered (RFC 9211).", [
      [{ result: "hit" }, status.hits],
      ...Object.entries(status.forwarded).map(([why, count]): Samples[number] => [{ result: why }, count]),
      [{ result: "failed" }, status.failed],
    ]),
    family("collapsed_requests_total", "counter", "Requests that another's request to the origin answered.", [
      [{}, status.collapsed],
    ]),
    family("stale_on_error_total", "counter", "Requests that got what is stale, as no origin gave a good answer.", [
      [{}, status.staleOnError],
    ]),
    family("viewer_bytes_total", "counter", "Bytes of bodies that went to viewers.", [[{}, status.bytesToViewers]]),
    family("sibling_bytes_total", "counter", "Bytes of bodies from other edges.", [[{}, status.bytesFromSiblings]]),
    family("sibling_requests_total", "counter", "Requests to other edges.", [[{}, status.siblingRequests]]),
    family("sibling_failures_total", "counter", "Requests that other edges could not answer.", [
      [{}, status.siblingFailures],
    ]),
    family("origin_bytes_total", "counter", "Bytes of bodies from an origin.", each(({ bytes }) => bytes)),
    family("origin_requests_total", "counter", "Requests to an origin.", each(({ requests }) => requests)),
    family("origin_failures_total", "counter", "Requests that failed by its fault.", each(({ failures }) => failures)),
    family("origin_active_requests", "gauge", "Requests under way at an origin.", each(({ active }) => active)),
    family("origin_waiting_requests", "gauge", "Requests that wait for a connection.", each(({ waiting }) => waiting)),
    family("origin_up", "gauge", "Whether an origin is healthy.", each(({ healthy }) => healthy)),
    family("cache_entries", "gauge", "Stored responses.", [[{}, cache!.entries]]),
    family("cache_bytes", "gauge", "Bytes that the cache takes.", [
      [{ tier: "disk" }, cache!.diskBytes],
      [{ tier: "memory" }, cache!.memoryBytes],
      [{ tier: "hot" }, cache!.hotBytes],
    ]),
    family("cache_limit_bytes", "gauge", "Bytes that the cache may take.", [
      [{ tier: "disk" }, cache!.diskLimit],
      [{ tier: "memory" }, cache!.memoryLimit],
      [{ tier: "hot" }, cache!.hotLimit],
    ]),
    family("cache_evictions_total", "counter", "Stored responses, or parts of them, that went for lack of room.", [
      [{}, cache!.evictions],
    ]),
    family("cache_disk_up", "gauge", "Whether the cache's disk works.", [[{}, !cache!.diskFails]]),
    family("waiting_for_purges", "gauge", "Whether it learns what was purged before it serves from its cache.", [
      [{}, status.waitingForPurges],
    ]),
    family("stale_before_timestamp_seconds", "gauge", "What was stored before this counts as stale; 0: nothing.", [
      [{}, Number(status.staleBeforeMs) / 1000],
    ]),
    family("start_time_seconds", "gauge", "When it began to count.", [[{}, Number(status.sinceMs) / 1000]]),
  ].join("");
}

function family(name: string, type: "counter" | "gauge", help: string, samples: Samples): string {
  const full = `metacdn_edge_${name}`;
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`).join();
    return `${full}${pairs && `{${pairs}}`} ${Number(value)}\n`;
  });
  return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join("")}`;
}

/** A label's value. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
