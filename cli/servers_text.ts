/** Servers, their marks, and what hangs on them, in words. Pure. */
import { format as formatBytes } from "@std/fmt/bytes";
import type { wire } from "../proto/mod.ts";
import { printable } from "../upload/mod.ts";
import { columns, countText, durationText } from "./table.ts";

/** What hangs on this server alone, in words; null where nothing does. */
export function heldByAlone({ risks }: wire.Durability, id: string): string | null {
  const risk = risks.find(({ kind, name }) => kind === "server" && name === id);
  return risk ? riskText(risk) : null;
}

/** `3 objects (12 MB) are on no other server, such as /a`. */
export function riskText(risk: wire.Risk): string {
  const { kind, lostObjects, lostBytes, unreachableObjects, unreachableBytes, examples } = risk;
  const are = (count: bigint, bytes: bigint) =>
    `${countText(count, "object")} (${formatBytes(Number(bytes))}) ${count === 1n ? "is" : "are"}`;
  const other = kind === "server" ? "no other server" : `no server outside it`;
  const parts = [
    lostObjects > 0n ? `${are(lostObjects, lostBytes)} on ${other}` : "",
    unreachableObjects > 0n ? `${are(unreachableObjects, unreachableBytes)} on ${other} that answers now` : "",
  ].filter(Boolean);
  return `${parts.join(", ")}${examples[0] === undefined ? "" : `, such as ${printable(examples[0])}`}`;
}

/** A line a server, under a head. */
export function serversTable(servers: readonly wire.Server[], nowMs: number): string[] {
  const rows = servers.filter(({ removed }) => !removed).map((server) => {
    const { health } = server;
    const heard = Number(health?.lastHeardMs ?? 0n);
    const lag = health && (health.lagObjects > 0n || health.lagBytes > 0n)
      ? `${countText(health.lagObjects, "object")}${
        health.lagBytes > 0n ? `, ${formatBytes(Number(health.lagBytes))}` : ""
      }`
      : "-";
    return [
      server.id,
      server.url,
      `${server.provider}/${server.region}`,
      server.role,
      `${health?.state || "unknown"}${server.draining ? ", drains" : ""}`,
      health?.state === "self" ? "-" : heard > 0 ? `${durationText(nowMs - heard)} ago` : "never",
      lag,
      server.software || "-",
      notesOf(server, nowMs).join("; "),
    ].map(printable);
  });
  return columns(["id", "url", "place", "role", "state", "heard", "lacks", "version", "notes"], rows);
}

function notesOf({ health }: wire.Server, nowMs: number): string[] {
  return [
    ...(health?.marks ?? []).map((mark) => markText(mark, nowMs)),
    health?.content?.stale ? "not compared with the others yet" : "",
    health?.error ?? "",
  ].filter(Boolean);
}

/** `caught 3 times, 5 min ago: a forged body`. */
export function markText({ reason, count, atMs }: wire.Mark, nowMs: number): string {
  return `caught ${countText(count, "time")}, ${durationText(nowMs - Number(atMs))} ago: ${printable(reason)}`;
}
