/** How an edge fares, in words. Pure. */
import { format as formatBytes } from "@std/fmt/bytes";
import type { wire } from "../proto/mod.ts";
import { printable } from "../upload/mod.ts";
import { columns, countText, durationText } from "./table.ts";

/** All that an edge says, on a screen. */
export function edgeText(url: string, status: wire.EdgeStatus, nowMs: number): string[] {
  return [
    printable(`${status.id} (${url}), up for ${durationText(nowMs - Number(status.sinceMs))}, ${servingText(status)}`),
    "",
    ...requestLines(status),
    "",
    ...cacheLines(status.cache!),
    "",
    ...originLines(status.origins),
  ];
}

/** `serves from its cache`, or why it does not, or not all of it. */
export function servingText({ waitingForPurges, staleBeforeMs }: wire.EdgeStatus): string {
  if (waitingForPurges) return "waits to hear what was purged before it serves from its cache";
  if (staleBeforeMs === 0n) return "serves from its cache";
  const when = new Date(Number(staleBeforeMs)).toISOString();
  return `takes what it stored before ${when} for stale, as nobody tells what was purged`;
}

function requestLines(status: wire.EdgeStatus): string[] {
  const { hits, failed, collapsed, staleOnError, siblingRequests, siblingFailures } = status;
  const forwarded = Object.entries(status.forwarded).sort(([, a], [, b]) => a < b ? 1 : a > b ? -1 : 0);
  const all = forwarded.reduce((sum, [, count]) => sum + count, hits + failed);
  const from = status.bytesFromOrigins + status.bytesFromSiblings;
  const to = status.bytesToViewers;
  const row = (name: string, count: bigint, note = "") => [name, count.toLocaleString("en"), share(count, all), note];
  const notes = [
    collapsed > 0n ? `${countText(collapsed, "request")} shared another's answer from the origin` : "",
    staleOnError > 0n ? `${countText(staleOnError, "request")} got what is stale, as no origin gave a good answer` : "",
    siblingRequests > 0n
      ? `${countText(siblingRequests, "request")} to other edges, of which ${
        siblingFailures.toLocaleString("en")
      } failed`
      : "",
  ].filter(Boolean);
  return [
    ...columns(["requests", `>${all.toLocaleString("en")}`, ">", ""], [
      row("hit", hits),
      ...forwarded.map(([why, count]) => row(why, count)),
      row("failed", failed),
    ]),
    ...notes,
    "",
    ...columns([], [
      ["hit ratio", share(hits, all)],
      // More may come from origins than viewers take: whole blocks are asked for, and stale answers refreshed.
      ["byte hit ratio", share(to > from ? to - from : 0n, to)],
      [
        "bytes",
        `${bytes(to)} to viewers, ${bytes(status.bytesFromOrigins)} from origins` +
        (siblingRequests > 0n ? `, ${bytes(status.bytesFromSiblings)} from other edges` : ""),
      ],
    ]),
  ];
}

function cacheLines(cache: wire.CacheFill): string[] {
  const row = (name: string, taken: bigint, limit: bigint, note = "") => [
    name,
    bytes(taken),
    `of ${bytes(limit)}`,
    share(taken, limit),
    note,
  ];
  return [
    `${countText(cache.entries, "stored response")}, ${countText(cache.evictions, "eviction")}`,
    ...columns(["cache", ">", ">", ">", ""], [
      row("disk", cache.diskBytes, cache.diskLimit, cache.diskFails ? "FAILS: the cache does without it" : ""),
      row("memory", cache.memoryBytes, cache.memoryLimit),
      row("ready-made", cache.hotBytes, cache.hotLimit),
    ]).slice(1),
  ];
}

function originLines(origins: readonly wire.OriginStatus[]): string[] {
  const rows = origins.map((origin) =>
    [
      origin.url,
      origin.healthy ? "healthy" : "OUT",
      origin.active.toLocaleString("en"),
      origin.waiting.toLocaleString("en"),
      origin.requests.toLocaleString("en"),
      origin.failures.toLocaleString("en"),
      bytes(origin.bytes),
      origin.reason,
    ].map(printable)
  );
  return columns(["origin", "state", ">active", ">waiting", ">requests", ">failed", ">sent", "notes"], rows);
}

function bytes(count: bigint): string {
  return formatBytes(Number(count));
}

/** `12.3 %`; `-` of nothing. */
function share(part: bigint, whole: bigint): string {
  return whole === 0n ? "-" : `${(100 * Number(part) / Number(whole)).toFixed(1)} %`;
}
