/** The live table: links as they are set and as the proxies measure them, prices, and who is chosen. Pure. */
import { bold, cyan, dim, green, red, yellow } from "@std/fmt/colors";
import type { wire } from "../../proto/mod.ts";
import { viewer } from "./places.ts";
import { columns, gbPriceText, msText, rateText } from "./text.ts";
import { type Cloud, POLICIES, type Policy, type World } from "./world.ts";

/** What is known at the moment: each proxy's explanation for the photograph; absent while it does not answer. */
export type Explanations = ReadonlyMap<Policy, wire.Explanation>;

/** The table, in rows of fewer than 80 characters. */
export function table(world: Pick<World, "clouds" | "proxies">, known: Explanations, path: string): string[] {
  const measured = known.get("combined")?.candidates ?? [];
  const links = world.clouds.map((cloud) => linkRow(cloud, measured.find(({ id }) => id === cloud.place.id)));
  const choices = POLICIES.flatMap((policy) => {
    const proxy = world.proxies.get(policy);
    return proxy ? [choiceRow(policy, proxy.url, known.get(policy))] : [];
  });
  return [
    ...columns(
      ["", `from ${viewer.city} to`, ">set", ">measured", ">egress/GB"],
      links,
    ),
    "",
    ...columns(["policy", "proxy", "chosen", `for ${shortened(path)}, best first`], choices),
  ].map((line, at) => `  ${at === 0 || at === links.length + 2 ? dim(line) : line}`);
}

function linkRow({ place, link, program }: Cloud, candidate: wire.Candidate | undefined): string[] {
  const { rttMs, bytesPerSecond } = link.shape;
  const changed = rttMs !== place.shape.rttMs || bytesPerSecond !== place.shape.bytesPerSecond;
  const shade = changed ? yellow : (text: string) => text;
  const seen = candidate && candidate.ageMs >= 0;
  return [
    program ? bold(place.id) : red(place.id),
    program ? `${place.city}, ${place.region}` : red("dead"),
    shade(linkText(rttMs, bytesPerSecond)),
    seen ? linkText(candidate.rttMs, candidate.bytesPerSecond) : "-",
    candidate && candidate.priceConfidence !== "none"
      ? gbPriceText(candidate.egressNanoPerGb + candidate.serverNanoPerGb)
      : "-",
  ];
}

function choiceRow(policy: Policy, url: string, explanation: wire.Explanation | undefined): string[] {
  if (!explanation) return [policy, portOf(url), dim("-"), ""];
  return [
    policy,
    portOf(url),
    explanation.chosen ? green(explanation.chosen) : red("none"),
    dim(figures(explanation)),
  ];
}

/** The figures that the decision is made from, best first: `aws 62 ms, gcp 83 ms, azure 127 ms`. */
export function figures({ policy, size, candidates }: wire.Explanation): string {
  const told = candidates.map((candidate) => {
    const { id, excluded, timeMs, score } = candidate;
    if (excluded) return `${id} down`;
    if (policy === "network") return `${id} ${msText(timeMs)}`;
    if (policy === "price") return `${id} ${gbPriceText(candidate.egressNanoPerGb + candidate.serverNanoPerGb)}/GB`;
    // Nano-dollars for one download, told as dollars for a thousand of them, or for one if it is large.
    return size < 10e6 ? `${id} $${(score * 1e3 / 1e9).toFixed(3)}` : `${id} $${(score / 1e9).toFixed(4)}`;
  }).join(", ");
  if (policy !== "combined") return told;
  return `${size < 10e6 ? "per 1000" : "each"}: ${told}`;
}

/** A heading. */
export function heading(text: string): string {
  return bold(cyan(text));
}

function linkText(rttMs: number, bytesPerSecond: number): string {
  return `${msText(rttMs).padStart(6)} ${rateText(bytesPerSecond).padStart(9)}`;
}

function portOf(url: string): string {
  return `:${new URL(url).port}`;
}

function shortened(path: string): string {
  return path.length <= 24 ? path : `${path.slice(0, 23)}…`;
}
