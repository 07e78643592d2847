/** Proxies and pricing servers: each answers, and none is the only one. Pure. */
import { everybody, whyNot } from "./check_servers.ts";
import { type Finding, finding } from "./finding.ts";
import type { Facts } from "./gather.ts";
import type { Probe } from "./probe.ts";

/** The findings on those that were named; of kinds that were not, nothing is known. */
export function checkPrograms(facts: Facts): Finding[] {
  const { proxies, pricing } = facts;
  const versions = new Set([...everybody(facts).values()].map(({ software }) => software));
  return [
    ...proxies.flatMap(({ ready, health }) => checkProxy(ready, health, versions)),
    ...single(
      proxies.map(({ ready }) => ready),
      "proxy",
      "viewers from coming in: start another one, and name both in DNS",
    ),
    ...pricing.flatMap((probe) => {
      const trouble = troubleOf("pricing server", probe);
      return trouble ? [trouble] : [finding("ok", `pricing server ${baseOf(probe)} is ready`)];
    }),
    ...single(pricing, "pricing server", "prices from being known: start another one, and name both to the proxies"),
  ];
}

function checkProxy(ready: Probe, health: Probe, versions: ReadonlySet<string>): Finding[] {
  const name = `proxy ${baseOf(ready)}`;
  const state = objectOf(ready.text);
  const down = Array.isArray(state.down) ? state.down.filter((each) => typeof each === "string") : [];
  const trouble = typeof state.trouble === "string" ? state.trouble : undefined;
  if (ready.status === 503 && state.status === "not ready") {
    return [finding("bad", `${name} knows of no server that it can send viewers to`, trouble, ...down)];
  }
  const fault = troubleOf("proxy", ready);
  if (fault) return [fault];
  const found: Finding[] = [];
  if (down.length > 0) found.push(finding("warn", `${name} sends nobody to ${down.length} of its servers`, ...down));
  if (state.prices === "stale") {
    found.push(finding("warn", `${name} goes by old prices`, "no pricing server answers it"));
  }
  if (trouble) found.push(finding("warn", `${name} is ready, with a trouble`, trouble));
  const { version } = objectOf(health.text);
  if (typeof version === "string" && versions.size > 0 && !versions.has(version)) {
    found.push(finding("warn", `${name} runs version ${version}`, `servers run ${[...versions].join(", ")}`));
  }
  return found.length > 0 ? found : [finding("ok", `${name} is ready`)];
}

function troubleOf(kind: string, probe: Probe): Finding | null {
  const name = `${kind} ${baseOf(probe)}`;
  if (probe.status === 200) return null;
  return finding("bad", `${name} ${probe.status === null ? "does not answer" : "is not ready"}`, whyNot(probe));
}

/** One machine that all hangs on. */
function single(probes: Probe[], kind: string, what: string): Finding[] {
  if (probes.length !== 1) return [];
  return [finding("warn", `there is a single ${kind}, ${baseOf(probes[0]!)}`, `a machine whose loss stops ${what}`)];
}

function baseOf({ url }: Probe): string {
  return new URL(url).origin;
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
