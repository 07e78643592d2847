/** Why the next request for a path goes where it goes: the decision itself, with its figures. Pure. */
import { create } from "@bufbuild/protobuf";
import { wire } from "../proto/mod.ts";
import { predictMs, priceNano, rank, scoreOf, secondNanoOf } from "./score.ts";
import type { PredictedSize } from "./sizes.ts";
import { criteriaOf, decide, type ServerView, type View } from "./view.ts";

/** The decision for a path, told. It is made by the very function that decides for a request. */
export function explain(view: View, path: string, size: PredictedSize, nowMs: number): wire.Explanation {
  const criteria = criteriaOf(view);
  const bytes = Math.max(1, size.bytes);
  const order = decide(view, size.bytes, nowMs);
  const excluded = view.servers.filter((server) => server.excluded !== "");
  const excludedRanked = rank(excluded.map((server) => ({ ...server, excluded: "" })), bytes, criteria, nowMs);
  const told = [
    ...order.map((server) => view.servers.find(({ id }) => id === server.id)!),
    ...(order.some(({ id }) => excluded.some((one) => one.id === id))
      ? []
      : excludedRanked.map(({ id }) => excluded.find((one) => one.id === id)!)),
  ];
  return create(wire.ExplanationSchema, {
    path,
    chosen: order[0]?.id ?? "",
    policy: view.policy,
    weight: view.weight,
    secondNano: secondNanoOf(view.weight),
    prices: view.prices,
    size: size.bytes,
    sizeFrom: size.from,
    candidates: told.map((server) => {
      const time = predictMs(server, bytes, nowMs);
      const price = priceNano(server, bytes);
      return {
        id: server.id,
        url: server.origin,
        provider: server.provider,
        region: server.region,
        timeMs: time,
        priceNano: Number.isNaN(price) ? 0 : Math.round(price),
        score: scoreOf(time, price, criteria),
        excluded: server.excluded || (server.lastResort && `last resort: ${server.lastResort}`),
        rttMs: server.rttMs,
        bytesPerSecond: server.bytesPerSecond,
        confidence: server.confidence,
        ageMs: server.newestMs === null ? -1 : Math.max(0, nowMs - server.newestMs),
        egressNanoPerGb: server.egressNanoPerGb,
        serverNanoPerGb: server.serverNanoPerGb,
        priceConfidence: server.priceConfidence,
      };
    }),
    reason: reasonFor(view, order),
  });
}

function reasonFor(view: View, [best, next]: readonly ServerView[]): string {
  const { policy, prices, servers } = view;
  if (!best) return `No server is known${view.trouble ? `: ${view.trouble}` : ""}.`;
  const words: string[] = [];
  const down = servers.filter(({ excluded }) => excluded !== "").map(({ id }) => id);
  if (down.length === servers.length) words.push(`Every server is down, so each is tried: ${best.id} first.`);
  else if (!next) words.push(`${best.id} is the only server to choose.`);
  else if (prices === "none" && policy !== "network") {
    words.push(`No price is known, so the network decides in place of the policy "${policy}": ${best.id} is fastest.`);
  } else if (policy === "network") words.push(`${best.id} is predicted to be the fastest.`);
  else if (policy === "price") words.push(`${best.id} has the lowest price.`);
  else words.push(`${best.id} has the lowest sum of price and time, a second counted as ${dollars(view.weight)}.`);
  if (prices === "stale") words.push("The pricing server is away: the last prices stand.");
  if (prices !== "none" && policy !== "network") {
    const unpriced = servers.filter(({ nanoPerGb }) => Number.isNaN(nanoPerGb)).map(({ id }) => id);
    if (unpriced.length) words.push(`Without a price, and so after the others: ${unpriced.join(", ")}.`);
  }
  const last = servers.filter(({ excluded, lastResort }) => excluded === "" && lastResort !== "").map(({ id }) => id);
  if (last.length) words.push(`Only where no other is left: ${last.join(", ")}.`);
  if (down.length && down.length < servers.length) words.push(`Not considered: ${down.join(", ")}.`);
  return words.join(" ");
}

function dollars(weight: number): string {
  const nano = secondNanoOf(weight);
  return nano === Infinity ? "worth any price" : `$${Number((nano / 1e9).toPrecision(3))}`;
}
