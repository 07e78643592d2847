/** Clocks and certificates: what goes wrong by the calendar. Pure. */
import { X509Certificate } from "node:crypto";
import { REPLAY_WINDOW_MS } from "../../runtime/signature.ts";
import { durationText } from "../table.ts";
import { everybody } from "./check_servers.ts";
import { type Finding, finding } from "./finding.ts";
import type { Facts } from "./gather.ts";
import type { Skew } from "./probe.ts";

/** Clocks kept by NTP differ by far less. */
const MOST_SKEW_MS = 1000;

/**
 * Clocks decide which of two writes is the newer, and a request that is signed more than the replay window away is
 * refused. Only what the measurement is sure of counts.
 */
export function checkClocks({ listed, named }: Facts): Finding[] {
  const clocks = new Map<string, Skew>();
  for (const [id, { skew }] of listed) if (skew) clocks.set(id, skew);
  // Without a list there are URLs alone.
  if (listed.size === 0) { for (const [url, { skew }] of named) if (skew) clocks.set(url, skew); }
  if (clocks.size === 0) return [];

  const found: Finding[] = [];
  const all = [...clocks.values()];
  const mean = all.reduce((sum, { ms }) => sum + ms, 0) / all.length;
  const agree = all.every(({ ms, errorMs }) => Math.abs(ms - mean) <= errorMs);
  const ours = all.length > 1 && agree && all.every((skew) => sureMs(skew) > MOST_SKEW_MS);
  if (ours) {
    const which = mean > 0 ? "behind" : "ahead of";
    found.push(finding("warn", `this machine's clock is ${durationText(Math.abs(mean))} ${which} all servers`));
  }
  for (const [name, { ms, errorMs }] of clocks) {
    const skew = { ms: ms - (ours ? mean : 0), errorMs };
    const sure = sureMs(skew);
    if (sure <= MOST_SKEW_MS) continue;
    const what = `${name}'s clock is ${durationText(Math.abs(skew.ms))} ${skew.ms > 0 ? "ahead" : "behind"}`;
    found.push(
      sure > REPLAY_WINDOW_MS
        ? finding("bad", what, "others refuse what it signs; set its clock, and keep it by NTP")
        : finding("warn", what, "of two writes the one with the later stamp wins: keep its clock by NTP"),
    );
  }
  return found.length > 0 ? found : [finding("ok", "clocks agree", "as far as a Date field tells")];
}

/** By how much they differ at least. */
function sureMs({ ms, errorMs }: Skew): number {
  return Math.abs(ms) - errorMs;
}

/** The end of each certificate on the list: near where less than 14 days or a quarter of its life is left. */
export function checkCertificates(facts: Facts, nowMs: number): Finding[] {
  return [...everybody(facts).values()].flatMap(({ id, url, certificate }) => {
    if (!url.startsWith("https:") || certificate.length === 0) return [];
    let from: number, to: number;
    try {
      const { validFrom, validTo } = new X509Certificate(certificate);
      [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
    } catch {
      return [finding("bad", `${id}'s certificate on the list cannot be read`, "give it a new one")];
    }
    if (nowMs < from) {
      return [finding("bad", `${id}'s certificate is not valid yet`, `from ${day(from)} on; are the clocks right?`)];
    }
    if (nowMs >= to) return [finding("bad", `${id}'s certificate has expired`, `on ${day(to)}; renew it`)];
    const left = to - nowMs;
    if (left < Math.min(14 * 24 * 3600_000, (to - from) / 4)) {
      return [finding("warn", `${id}'s certificate expires in ${durationText(left)}`, `on ${day(to)}; renew it`)];
    }
    return [finding("ok", `${id}'s certificate is valid`, `until ${day(to)}`)];
  });
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
