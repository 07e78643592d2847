/** Header fields that a proxy adds to its answers. Pure. */
import { type Dictionary, serializeDictionary, Token } from "structured-headers";

/** The value of Metacdn-Route: a dictionary (RFC 9651) that says who answered, and by which rule. */
export function routeField(
  { server, policy, prices, failed = [] }: { server?: string; policy: string; prices: string; failed?: string[] },
): string {
  const route: Dictionary = new Map();
  if (server !== undefined) route.set("server", [server, new Map()]);
  route.set("policy", [new Token(policy), new Map()]);
  route.set("prices", [new Token(prices), new Map()]);
  if (failed.length) route.set("failed", [failed.map((id) => [id, new Map()]), new Map()]);
  return serializeDictionary(route);
}

/** The value of Server-Timing for the parts of an exchange, in milliseconds. */
export function timingField(parts: Record<string, number>): string {
  let text = "";
  for (const name in parts) text += `${text && ", "}${name};dur=${Math.round(parts[name]! * 1000) / 1000}`;
  return text;
}
