/** What would be lost, out of reach, or stand still, if something broke now. Pure. */
import { format as formatBytes } from "@std/fmt/bytes";
import type { wire } from "../../proto/mod.ts";
import { riskText } from "../servers_text.ts";
import { countText } from "../table.ts";
import { everybody } from "./check_servers.ts";
import { type Finding, finding } from "./finding.ts";
import type { Facts } from "./gather.ts";

/** What a server is part of, by the kinds of risk. */
const nameOf: Record<string, (server: wire.Server) => string | undefined> = {
  server: ({ id }) => id,
  provider: ({ provider }) => provider,
  region: ({ provider, region }) => `${provider}/${region}`,
  jurisdiction: ({ labels }) => labels.jurisdiction,
  operator: ({ labels }) => labels.operator,
};

/** The number of origins, how many take uploads, and each risk. */
export function checkDurability(facts: Facts): Finding[] {
  if (facts.views.every(({ error }) => error !== "")) return [];
  const origins = [...everybody(facts).values()].filter(({ role }) => role === "origin");
  // Edges alone pull what they serve from origins that are none of our servers, and keep nothing that counts.
  if (origins.length === 0 && facts.views.some(({ edge }) => edge !== null)) return [];
  return [...checkOrigins(origins), ...checkLabels(origins), ...checkRisks(facts.durability, origins)];
}

function checkOrigins(origins: wire.Server[]): Finding[] {
  if (origins.length === 0) {
    return [finding("bad", "there is no origin", "edges keep no copy that counts: start two origins")];
  }
  if (origins.length === 1) {
    return [
      finding("bad", `${origins[0]!.id} is the only origin`, "with it everything goes: start another one elsewhere"),
    ];
  }
  return [finding("ok", countText(origins.length, "origin"))];
}

/** A label that some have and some lack leaves some out of the reckoning. */
function checkLabels(origins: wire.Server[]): Finding[] {
  return ["jurisdiction", "operator"].flatMap((label) => {
    const without = origins.filter(({ labels }) => !labels[label]).map(({ id }) => id);
    if (without.length === 0 || without.length === origins.length) return [];
    return [
      finding("warn", `${without.join(", ")} tell no ${label}`, `start them with --label ${label}=…, as the others`),
    ];
  });
}

function checkRisks(answer: wire.Durability | string, origins: wire.Server[]): Finding[] {
  if (typeof answer === "string") return [finding("bad", "what would be lost cannot be told", answer)];
  const { objects, bytes, risks, unasked } = answer;
  const found = [
    ...checkCopies(answer, origins),
    ...unasked.map((id) => finding("warn", `${id} could not be asked what it holds`, "none of it is counted")),
  ];
  const membersOf = ({ kind, name }: wire.Risk) =>
    origins.filter((server) => nameOf[kind]?.(server) === name).map(({ id }) => id);
  const alone = new Set(risks.filter(({ kind }) => kind === "server").map(({ name }) => name));
  for (const risk of risks) {
    const { kind, name, lostObjects } = risk;
    const members = membersOf(risk);
    // A group of one is that server again.
    if (kind !== "server" && members.length === 1 && alone.has(members[0]!)) continue;
    const everything = lostObjects > 0n && lostObjects >= objects;
    const why = everything
      ? `everything would be lost: ${countText(objects, "object")} (${formatBytes(Number(bytes))}) ` +
        (members.length === origins.length ? `as all origins are of this ${kind}` : "held nowhere else")
      : riskText(risk);
    const advice = kind === "server"
      ? origins.some(({ id }) => id === name)
        ? "let others catch up before it is touched"
        : "it is no origin on the list"
      : `put an origin at another ${kind}`;
    const what = kind === "server" ? name : `${kind} ${name} (${members.join(", ")})`;
    found.push(finding(kind === "server" && lostObjects > 0n ? "bad" : "warn", `if ${what} vanished`, why, advice));
  }
  if (risks.length > 0) return found;
  const of = `${countText(objects, "object")}, ${formatBytes(Number(bytes))}`;
  return [...found, finding("ok", "nothing would be lost if any one server, provider or region vanished", of)];
}

/** How many servers can take an upload, against how many copies it waits for. */
function checkCopies({ minCopies }: wire.Durability, origins: wire.Server[]): Finding[] {
  const takers = origins.filter(({ health, draining }) => !draining && ["self", "alive"].includes(health?.state ?? ""));
  const why = `an upload waits for ${countText(minCopies, "copy", "copies")}`;
  if (takers.length < minCopies) {
    return [
      finding(
        "bad",
        `only ${countText(takers.length, "origin")} can take uploads`,
        why,
        "bring back those that are away",
      ),
    ];
  }
  if (takers.length > 1 && takers.length === minCopies) {
    return [finding("warn", "each origin is a machine whose loss stops uploads", why, "start one more")];
  }
  return takers.length === 0 ? [] : [finding("ok", `${countText(takers.length, "origin")} can take uploads`, why)];
}
