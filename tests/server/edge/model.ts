/**
 * What RFC 9111 forbids a shared cache to answer, as a judge of histories. It was written from the RFC and shares no code
 * with `server/edge/rules/`, so that the two can only agree where both are right. It is simple where they are fast: every
 * field is read anew for every question, and only the syntax that the tests write is understood.
 *
 * Each answer of an origin has a strong ETag of its own representation, so that a 304 tells which it means.
 */

export type Field = [name: string, value: string];

export interface Asked {
  method: string;
  target: string;
  fields: Field[];
}

/** What an origin was asked, and what it answered; names of fields in lower case, times in milliseconds since 1970. */
export interface Exchange {
  asked: Asked;
  /** What the viewer asked for whom it was asked: Vary speaks of this. */
  viewer: Asked;
  status: number;
  fields: Field[];
  requestMs: number;
  responseMs: number;
  /** How many bytes of its body came, where it broke off. */
  bytes?: number;
  /** What tells its representation from others; its ETag unless given. */
  representation?: string;
}

/** An answer that was given without an answer of the origin. */
export interface Served {
  asked: Asked;
  atMs: number;
  /** The exchange that brought its body. */
  base: Exchange;
  status: number;
  fields: Field[];
  /** The origin was asked for it, and failed. */
  originFailed: boolean;
  /** It is of an exchange that was begun for somebody else after this was asked (§4: collapsed): no age is too great. */
  shared?: boolean;
  /** Its body broke off, or was not read to its end. */
  short?: boolean;
  /** The exchanges that updated it, where it can be told; else all that could have. */
  updates?: readonly Exchange[];
}

export interface Contract {
  heuristicShare: number;
  heuristicMostMs: number;
  staleOnErrorMs: number;
}

/**
 * Why the RFC forbids the answer; null where it does not. `history` is all that had come from the origin by then, in that
 * order. A full answer has Content-Length, a part Content-Range, what is served and is a part too.
 */
export function forbidden(history: readonly Exchange[], served: Served, contract: Contract): string | null {
  // A further part may have been combined with what was stored (§3.4), and need not have been.
  const apart = judge(history, served, contract, [304]);
  return apart && judge(history, served, contract, [304, 206]);
}

function judge(
  history: readonly Exchange[],
  served: Served,
  contract: Contract,
  updating: readonly number[],
): string | null {
  const { asked, base, atMs } = served;
  if (asked.method !== "GET" && asked.method !== "HEAD") return "§4: an unsafe request was not written through";
  if (base.asked.method !== "GET" || base.asked.target !== asked.target) return "§4: another target or method";
  const why = mayNotStore(base);
  if (why) return why;

  // The response as the 304s that mean it have made it; the last of them is what the age counts from.
  const meant = history.slice(history.indexOf(base) + 1).filter((exchange) =>
    exchange.asked.target === asked.target && (isSame(exchange, base) || isVague(exchange)) && known(exchange, base)
  );
  const updates = meant.filter((exchange) =>
    served.updates ? served.updates.includes(exchange) : updating.includes(exchange.status)
  );
  if (served.updates?.some((update) => !meant.includes(update))) return "§4.3.4: an update of something else";
  // By a weak validator it is only the latest of several.
  const isStrong = value(base.fields, "etag")?.startsWith('"');
  if (isStrong && meant.some((exchange) => exchange.status === 304 && !updates.includes(exchange))) {
    return "§4.3.4: an update was passed over";
  }
  const last = updates.at(-1) ?? base;
  const fields = updates.reduce((before, { fields }) => [
    ...before.filter(([name]) => name !== "age" && name !== "date" && !fields.some(([other]) => other === name)),
    ...fields,
  ], base.fields);

  if (history.slice(history.indexOf(last) + 1).some((exchange) => spoils(exchange, asked.target))) {
    return "§4.4: invalidated";
  }
  for (const name of listed(value(fields, "vary"))) {
    if (name === "*") return "§4.1: Vary *";
    if (meaning(base.viewer, name) !== meaning(asked, name)) return `§4.1: another ${name}`;
  }

  if (served.status === 304) {
    if (!mayBeNotModified(asked.fields, fields)) return "RFC 9110 §13: a 304 that no condition asks for";
  } else if (served.status !== 206 && served.status !== (base.status === 206 ? 200 : base.status)) {
    return "§4: another status";
  } else {
    const why = mayNotHaveBytes(history, served, fields);
    if (why) return why;
  }

  const policy = policyOf(fields);
  if (policy.has("no-store") || policy.has("private")) return "§5.2.2: forbidden by an update";
  if (policy.has("no-cache") && !served.shared) return "§5.2.2.4: no-cache";

  const dateMs = Date.parse(value(fields, "date") ?? "") || last.responseMs;
  const told = /^\d+$/.test(value(last.fields, "age") ?? "") ? Number(value(last.fields, "age")) * 1000 : 0;
  const apparent = Math.floor(last.responseMs / 1000) * 1000 - dateMs;
  const ageMs = Math.max(0, apparent, told + last.responseMs - last.requestMs) + atMs - last.responseMs;
  const shown = Number(value(served.fields, "age") ?? NaN);
  if (!(Math.abs(shown - ageMs / 1000) <= 1)) return `§5.1: Age is ${shown}, and it is ${ageMs / 1000} s old`;

  if (served.shared) return null;
  const lifetimeMs = lifetime(base.status, fields, dateMs, contract);
  const wishes = wishesOf(asked.fields);
  const staleMs = ageMs - lifetimeMs;
  if (!served.originFailed) {
    if (wishes.has("no-cache")) return "§5.2.1.4: the request says no-cache";
    if (ageMs > (seconds(wishes, "max-age") ?? Infinity)) return "§5.2.1.1: older than the request's max-age";
    if (wishes.has("min-fresh") && -staleMs < (seconds(wishes, "min-fresh") ?? 0)) return "§5.2.1.3: min-fresh";
  }
  if (staleMs < 0) return null;
  for (const name of ["must-revalidate", "proxy-revalidate", "s-maxage"]) {
    if (policy.has(name)) return `§4.2.4: stale, and ${name}`;
  }
  if (served.originFailed) {
    const said = Math.max(seconds(policy, "stale-if-error") ?? -1, seconds(wishes, "stale-if-error") ?? -1);
    return staleMs <= (said >= 0 ? said : contract.staleOnErrorMs) ? null : "§4.2.4: stale for too long";
  }
  const patience = wishes.get("max-stale") === "" ? Infinity : seconds(wishes, "max-stale") ?? -1;
  if (staleMs <= patience || staleMs <= (seconds(policy, "stale-while-revalidate") ?? -1)) return null;
  return `§4.2.4: stale for ${staleMs / 1000} s`;
}

/** §3. */
function mayNotStore({ asked, viewer, status, fields }: Exchange): string | null {
  const policy = policyOf(fields);
  const wishes = wishesOf(viewer.fields);
  if (status < 200 || status === 304) return "§3: a status that is not stored";
  if (policy.has("no-store") || wishes.has("no-store")) return "§3: no-store";
  if (policy.has("private")) return "§3: private";
  const shared = ["public", "must-revalidate", "s-maxage"].some((name) => policy.has(name));
  if (value(asked.fields, "authorization") !== null && !shared) return "§3.5: an answer to one user";
  const explicit = ["public", "max-age", "s-maxage"].some((name) => policy.has(name));
  if (!explicit && value(fields, "expires") === null && !HEURISTIC.includes(status)) return "§3: nothing allows it";
  return null;
}

const HEURISTIC = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];

/** §3.3, §3.4; RFC 9110 §13.1.5, §15.3.7. */
function mayNotHaveBytes(
  history: readonly Exchange[],
  { asked, base, status, fields, short }: Served,
  stored: Field[],
) {
  let wanted = /^bytes (\d+)-(\d+)\//.exec(value(fields, "content-range") ?? "")?.slice(1).map(Number) ?? null;
  if (status === 206) {
    if (value(asked.fields, "range") === null || wanted === null) return "§3.3: a part that was not asked for";
    const tag = value(asked.fields, "if-range");
    if (tag !== null && !isValidator(tag, stored)) return "RFC 9110 §13.1.5: a part of something else";
  } else if (wanted !== null) return "§3.3: a part that is not said to be one";
  if (short) return null;
  const brought = history.filter((exchange) =>
    exchange.asked.method === "GET" && exchange.asked.target === asked.target &&
    (exchange.status === base.status || exchange.status === 200 || exchange.status === 206) &&
    isSame(exchange, base) && (exchange.viewer === asked || mayNotStore(exchange) === null)
  ).map(({ status, fields, bytes }) => {
    const part = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(value(fields, "content-range") ?? "")?.slice(1).map(Number);
    const length = part && status === 206 ? part[2]! : Number(value(fields, "content-length") ?? 0);
    const [start, end] = part && status === 206 ? [part[0]!, part[1]! + 1] : [0, length];
    return { start, end: bytes === undefined ? end : start + bytes, length };
  }).sort((a, b) => a.start - b.start);
  wanted ??= [0, (brought[0]?.length ?? Infinity) - 1];
  let reached = wanted[0]!;
  for (const { start, end } of brought) if (start <= reached) reached = Math.max(reached, end);
  return reached > wanted[1]! ? null : "§3.3: bytes that never came";
}

function isSame(one: Exchange, other: Exchange): boolean {
  const tag = ({ representation, fields }: Exchange) => representation ?? value(fields, "etag");
  return tag(one) === tag(other);
}

/** A HEAD without validators: it contradicts nothing that is stored, and so may update all of it (§4.3.5). */
export function isVague({ asked, fields }: Exchange): boolean {
  return asked.method === "HEAD" && value(fields, "etag") === null && value(fields, "last-modified") === null;
}

/** Whether an If-Range names what is stored: strongly, or by its date (RFC 9110 §13.1.5). */
function isValidator(tag: string, stored: Field[]): boolean {
  return tag.startsWith('"') ? tag === value(stored, "etag") : tag === value(stored, "last-modified");
}

/** §4.3.2. */
export function mayBeNotModified(asked: Field[], stored: Field[]): boolean {
  const tags = value(asked, "if-none-match");
  if (tags !== null) {
    const strong = (tag: string) => tag.trim().replace(/^W\//, "");
    return tags === "*" || tags.split(",").some((tag) => strong(tag) === strong(value(stored, "etag") ?? "none"));
  }
  const changed = Date.parse(value(stored, "last-modified") ?? value(stored, "date") ?? "");
  return changed <= Date.parse(value(asked, "if-modified-since") ?? "");
}

/** §4.4: a write that did not fail, to the target, or one that says that it made the target. */
function spoils({ asked, status, fields }: Exchange, target: string): boolean {
  if (["GET", "HEAD"].includes(asked.method) || status < 200 || status > 399) return false;
  return asked.target === target || value(fields, "location") === target;
}

/** §4.2.1, §4.2.2. */
function lifetime(status: number, fields: Field[], dateMs: number, contract: Contract): number {
  const policy = policyOf(fields);
  for (const name of ["s-maxage", "max-age"]) if (policy.has(name)) return seconds(policy, name) ?? 0;
  const expires = targeted(fields) ? null : value(fields, "expires");
  if (expires !== null) return /GMT$/.test(expires) ? (Date.parse(expires) || dateMs) - dateMs : 0;
  if (!policy.has("public") && !HEURISTIC.includes(status)) return 0;
  const modified = Date.parse(value(fields, "last-modified") ?? "");
  const guess = modified ? (dateMs - modified) * contract.heuristicShare : 0;
  return Math.min(Math.max(0, guess), contract.heuristicMostMs);
}

/** A 304 changes what is stored of a base only where its request could have selected it. */
function known(update: Exchange, base: Exchange): boolean {
  return listed(value(base.fields, "vary")).every((name) =>
    meaning(update.viewer, name) === meaning(base.viewer, name)
  );
}

/** A dictionary of RFC 9651, of what the tests write: keys in lower case, digits or a word, no trailing comma. */
function targeted(fields: Field[]): string | null {
  const text = value(fields, "cdn-cache-control");
  return text !== null && /^[a-z-]+(=[a-z0-9]+)?(, [a-z-]+(=[a-z0-9]+)?)*$/.test(text) ? text : null;
}

/** RFC 9213 §2.2: the targeted field alone, where it is one; the last of each name, and no time that is no number (§2.1). */
function policyOf(fields: Field[]): Map<string, string> {
  const text = targeted(fields);
  if (text === null) return directives(value(fields, "cache-control") ?? "");
  const found = directives(text.split(", ").reverse().join(", "));
  if (!/^\d+$/.test(found.get("max-age") ?? "0")) found.delete("max-age");
  return found;
}

function wishesOf(fields: Field[]): Map<string, string> {
  const control = value(fields, "cache-control");
  return directives(control ?? (value(fields, "pragma") === "no-cache" ? "no-cache" : ""));
}

/** The first of each name counts (§4.2.1). */
function directives(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const part of text.split(",")) {
    const [name, argument = ""] = part.trim().split("=");
    if (name && !found.has(name.toLowerCase())) found.set(name.toLowerCase(), argument);
  }
  return found;
}

function seconds(found: Map<string, string>, name: string): number | null {
  const text = found.get(name);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) * 1000 : null;
}

/** All lines of a name as one; null without any. */
function value(fields: Field[], wanted: string): string | null {
  const values = fields.filter(([name]) => name === wanted).map(([, value]) => value.trim());
  return values.length === 0 ? null : values.join(", ");
}

function listed(text: string | null): string[] {
  return (text ?? "").toLowerCase().split(",").map((part) => part.trim()).filter((part) => part !== "");
}

/** What a request field says, whatever its order, case and space (§4.1): only negotiation has no order. */
function meaning({ fields }: Asked, name: string): string | null {
  const text = value(fields, name);
  if (text === null || !name.startsWith("accept-")) return text;
  const weights = text.toLowerCase().split(",").map((part) => {
    const [range, weight] = part.split(";q=").map((piece) => piece.trim());
    return [range!, Number(weight ?? "1")] as const;
  });
  return JSON.stringify(weights.filter(([range, weight]) => range !== "" && weight > 0).sort());
}
