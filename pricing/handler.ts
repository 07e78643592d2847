/** The pricing server's endpoints: a table of paths and methods, then a function for each. */
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { accepts } from "@std/http/negotiation";
import { badRequest, billingMonth, CdnError, codecForBody, identifier, splitTarget, wire } from "../proto/mod.ts";
import { readAll } from "../runtime/body.ts";
import type { Guard, Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import type { Logger } from "../runtime/log.ts";
import { MESSAGE_LIMIT, messageResponse } from "../runtime/message.ts";
import { pageResponse } from "../runtime/page.ts";
import { keyFingerprint, SignatureVerifier } from "../runtime/signature.ts";
import type { Book } from "./book.ts";
import { checkPreconditions, taggedResponse } from "./etag.ts";
import { pricesPage } from "./page.ts";
import type { Peers } from "./peers.ts";
import { quote } from "./quote.ts";
import { monthOf, type UsageBook } from "./usage.ts";

/** What the endpoints work with. */
export interface PricingContext {
  book: Book;
  usage: UsageBook;
  peers: Peers;
  guard: Guard;
  secrets: Secrets;
  now(): number;
  log: Logger;
  expectedBytesPerHour: bigint;
  /** Throws where the database cannot be used. */
  checkDatabase(): void;
}

/** How long a write waits for a peer to have it too: then the loss of either machine does not lose it. */
const SECURE_MS = 2_000;

/** One request on its way. */
interface Exchange {
  request: Request;
  /** Provider and region, where the path has them; checked. */
  place: { provider: string; region: string };
  query: URLSearchParams;
  /** Who asks, as it is kept with a write. */
  by: string;
}

type Endpoint = (context: PricingContext, exchange: Exchange) => Response | Promise<Response>;

const OF_SHEET = "/-/v1/prices/([^/]+)/([^/]+)";

const routes: [path: RegExp, methods: Record<string, Endpoint>][] = [
  [/^\/$/, { GET: showPrices }],
  [/^\/-\/v1\/prices$/, { GET: listSheets }],
  [new RegExp(`^${OF_SHEET}$`), { GET: getSheet, PUT: putSheet, DELETE: deleteSheet }],
  [new RegExp(`^${OF_SHEET}/history$`), { GET: getHistory }],
  [/^\/-\/v1\/quotes$/, { POST: postQuotes }],
  [/^\/-\/v1\/usage$/, { GET: getUsage, POST: postUsage }],
  [/^\/-\/v1\/peers$/, { GET: getPeers }],
  [/^\/-\/v1\/peer\/prices$/, { POST: postExchange }],
  [/^\/-\/healthz$/, { GET: () => plainResponse("ok") }],
  [/^\/-\/readyz$/, { GET: getReady }],
];

/** Answers a request; what goes wrong is thrown as a `CdnError` (`runtime/listen.ts` makes it an answer). */
export function createHandler(context: PricingContext): Handler {
  const { token } = context.secrets;
  const who = token === null ? "local" : `token:${keyFingerprint(new TextEncoder().encode(token))}`;
  return async (request, info) => {
    const { path, query } = splitTarget(request.url);
    for (const [pattern, methods] of routes) {
      const match = pattern.exec(path);
      if (!match) continue;
      const method = request.method === "HEAD" ? "GET" : request.method;
      const endpoint = Object.hasOwn(methods, method) ? methods[method] : undefined;
      if (!endpoint) throw notAllowed(request.method, methods);
      return await endpoint(context, {
        request,
        place: match.length > 1 ? placeOf(match) : { provider: "", region: "" },
        query: new URLSearchParams(query),
        by: `${who}@${info.remoteAddr.hostname}`,
      });
    }
    throw badRequest("There is nothing at this path on a pricing server; GET / shows the prices", { status: 404 });
  };
}

function showPrices({ book, guard }: PricingContext, { request }: Exchange): Response {
  guard.requireTokenOrPeer(request);
  const wanted = accepts(request, "application/json", "application/protobuf", "text/html");
  if (wanted !== "text/html") return taggedResponse(request, wire.SheetListSchema, sheetList(book));
  return pageResponse(request, pricesPage(book.list()), { cacheControl: "private, no-cache" });
}

function listSheets({ book, guard }: PricingContext, { request }: Exchange): Response {
  guard.requireTokenOrPeer(request);
  return taggedResponse(request, wire.SheetListSchema, sheetList(book));
}

function getSheet({ book, guard }: PricingContext, { request, place }: Exchange): Response {
  guard.requireTokenOrPeer(request);
  const sheet = book.get(place.provider, place.region);
  if (!sheet) throw noSheet(place);
  return taggedResponse(request, wire.SheetSchema, sheet);
}

function getHistory({ book, guard }: PricingContext, { request, place }: Exchange): Response {
  guard.requireTokenOrPeer(request);
  const changes = book.history(place.provider, place.region);
  if (changes.length === 0) throw noSheet(place);
  return messageResponse(request, wire.SheetHistorySchema, create(wire.SheetHistorySchema, { changes }));
}

async function putSheet({ book, guard, peers, now, log }: PricingContext, { request, place, by }: Exchange) {
  guard.requireToken(request);
  const codec = codecForBody(request.headers.get("content-type"));
  const bytes = await readAll(request, { limit: MESSAGE_LIMIT });
  const sheet = codec.decode(wire.SheetSchema, bytes, { complete: (sheet) => fillIn(sheet, place) });
  // From here to the write nothing else runs, so that of two writes with the same If-Match one is refused.
  const current = book.get(place.provider, place.region);
  checkPreconditions(request.headers, wire.SheetSchema, current);
  const kept = book.put(sheet, { by, nowMs: now() });
  log.info("sheet written", { ...place, by });
  await peers.secured(SECURE_MS);
  return taggedResponse(request, wire.SheetSchema, kept, { status: current ? 200 : 201 });
}

async function deleteSheet({ book, guard, peers, now, log }: PricingContext, { request, place, by }: Exchange) {
  guard.requireToken(request);
  const current = book.get(place.provider, place.region);
  checkPreconditions(request.headers, wire.SheetSchema, current);
  if (!book.delete(place.provider, place.region, { by, nowMs: now() })) throw noSheet(place);
  log.info("sheet deleted", { ...place, by });
  await peers.secured(SECURE_MS);
  return new Response(null, { status: 204 });
}

async function postQuotes(context: PricingContext, { request }: Exchange): Promise<Response> {
  const { bytes, places } = await readGuarded(context, request, wire.QuoteRequestSchema);
  const { book, usage, expectedBytesPerHour } = context;
  const atMs = context.now();
  const month = monthOf(atMs);
  const quotes = places.map((place) => {
    const sheet = book.get(place.provider, place.region);
    const used = sheet ? usage.used(month, sheet.pool, place) : 0n;
    return quote({ place, bytes, sheet, used, expectedBytesPerHour });
  });
  const answer = create(wire.QuoteAnswerSchema, { quotes, month, atMs: BigInt(atMs) });
  return messageResponse(request, wire.QuoteAnswerSchema, answer);
}

function getUsage({ usage, guard, now }: PricingContext, { request, query }: Exchange): Response {
  guard.requireTokenOrPeer(request);
  const month = query.get("month") ?? monthOf(now());
  const detail = billingMonth(month);
  if (detail) throw badRequest(`The query's month ${detail}`, { fields: [{ field: "month", detail }] });
  return usageResponse(request, month, usage.list(month));
}

/** Answers with the totals, over all reporters, of the places that were reported. */
async function postUsage(context: PricingContext, { request }: Exchange): Promise<Response> {
  const report = await readGuarded(context, request, wire.UsageReportSchema);
  const { usage, peers, now } = context;
  if (usage.report(report, now())) peers.changed();
  const places = new Map(report.counts.map(({ place }) => [JSON.stringify(place), place!]));
  const counts = [...places.values()].map((place) =>
    create(wire.UsageCountSchema, { place, bytes: usage.used(report.month, wire.Pool.SERVER, place) })
  );
  return usageResponse(request, report.month, counts);
}

function getPeers({ peers, guard }: PricingContext, { request }: Exchange): Response {
  guard.requireTokenOrPeer(request);
  return messageResponse(request, wire.PricePeerListSchema, peers.report());
}

/** For peers alone: what one says of what it holds is taken, and answered with what it lacks. */
async function postExchange({ peers, guard }: PricingContext, { request }: Exchange): Promise<Response> {
  const bytes = await guard.readFromPeer(request, { limit: MESSAGE_LIMIT });
  const codec = codecForBody(request.headers.get("content-type"));
  const message = codec.decode(wire.PriceExchangeSchema, bytes, { lenient: true });
  return messageResponse(request, wire.PriceExchangeSchema, peers.answer(message));
}

function getReady({ checkDatabase }: PricingContext): Response {
  try {
    checkDatabase();
  } catch (cause) {
    throw new CdnError("Not ready: the database cannot be used", { source: "server", status: 503, retry: true, cause });
  }
  return plainResponse("ready");
}

/** A message from whoever has the token or the cluster key. */
async function readGuarded<Desc extends DescMessage>(
  { guard }: PricingContext,
  request: Request,
  schema: Desc,
): Promise<MessageShape<Desc>> {
  const bytes = await guard.readFromTokenOrPeer(request, { limit: MESSAGE_LIMIT });
  // Who signs is a program, and may be a newer one; a person is told of a field that nobody knows.
  const lenient = SignatureVerifier.isSigned(request.headers);
  return codecForBody(request.headers.get("content-type")).decode(schema, bytes, { lenient });
}

/** The URL names the sheet; the body may leave the names out, but must not say otherwise. */
function fillIn(sheet: wire.Sheet, place: { provider: string; region: string }): void {
  const fields = [];
  for (const field of ["provider", "region"] as const) {
    if (sheet[field] === "") sheet[field] = place[field];
    if (sheet[field] !== place[field]) {
      fields.push({ field, detail: `must be "${place[field]}", as in the URL, or be left out` });
    }
  }
  if (fields.length === 0) return;
  const words = fields.map(({ field, detail }) => `${field} ${detail}`).join("; ");
  throw badRequest(`Malformed Sheet: ${words}`, { fields });
}

function placeOf(match: RegExpExecArray): { provider: string; region: string } {
  const place = { provider: match[1]!, region: match[2]! };
  const fields = Object.entries(place).flatMap(([field, name]) => {
    const detail = identifier(name);
    return detail ? [{ field, detail }] : [];
  });
  if (fields.length === 0) return place;
  const words = fields.map(({ field, detail }) => `the ${field} ${detail}`).join("; ");
  throw badRequest(`Malformed path: ${words}`, { fields });
}

function sheetList(book: Book): wire.SheetList {
  return create(wire.SheetListSchema, { sheets: book.list() });
}

function usageResponse(request: Request, month: string, counts: wire.UsageCount[]): Response {
  return messageResponse(request, wire.UsageListSchema, create(wire.UsageListSchema, { month, counts }));
}

function plainResponse(text: string): Response {
  return new Response(`${text}\n`, { headers: { "content-type": "text/plain", "cache-control": "no-store" } });
}

function noSheet({ provider, region }: { provider: string; region: string }): CdnError {
  return badRequest(`There is no price sheet for ${provider}/${region}`, { status: 404 });
}

function notAllowed(method: string, methods: Record<string, Endpoint>): CdnError {
  const allow = Object.keys(methods).flatMap((name) => name === "GET" ? ["GET", "HEAD"] : [name]).join(", ");
  return badRequest(`${method.slice(0, 20)} does nothing here; there is ${allow}`, { status: 405, headers: { allow } });
}
