/** Asking whether a stored response is still good, and what the answer says (RFC 9111 §4.3). */
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import type { StoredResponse } from "../response.ts";
import { isStrongDate } from "./conditions.ts";
import { completeLength, contentLength } from "./content_range.ts";
import { dateIn } from "./date.ts";
import { equalStrongly, equalWeakly, isStrong } from "./entity_tag.ts";
import { etagOf, factsOf } from "./facts.ts";
import { fieldOf } from "../../../runtime/http1/lines.ts";
import type { Lines, ReceivedHead } from "./types.ts";
import { fits } from "./vary.ts";

/**
 * The fields that make a request conditional on a stored response (§4.3.1); empty where it has no validator. Last-Modified
 * goes along with an entity tag, for origins that know no tags.
 */
export function validationFields(stored: StoredResponse): Lines {
  const fields: HeaderLine[] = [];
  const { etag, modifiedMs } = factsOf(stored);
  if (etag !== null) fields.push(["if-none-match", etag]);
  if (modifiedMs !== null) fields.push(["if-modified-since", fieldOf(stored.fields, "last-modified")!.trim()]);
  return fields;
}

/**
 * Which stored responses a 304 freshens (§4.3.4); none where it is about a response that is not stored (any more): then the
 * answer must be asked for anew, without conditions. `asked` is the one whose validators were sent; of the others only
 * those count that the same request could have selected. `request` are the fields of that request; without it (nobody
 * waits) only those are taken that `asked` shows to be such.
 */
export function freshenedBy<Found extends { readonly response: StoredResponse }>(
  received: ReceivedHead,
  stored: readonly Found[],
  asked: Found,
  request?: Lines,
): Found[] {
  const others = stored.filter((found) =>
    found !== asked && (request ? fits(request, found.response) : selectedToo(found.response, asked.response))
  );
  const candidates = [asked, ...others];
  const etag = etagOf(received.fields);
  if (isStrong(etag)) return candidates.filter(({ response }) => factsOf(response).etag === etag);
  const modifiedMs = dateIn(received.fields, "last-modified");
  if (etag !== null || modifiedMs !== null) {
    const matching = candidates.filter(({ response }) => {
      const facts = factsOf(response);
      if (etag !== null) return facts.etag !== null && equalWeakly(facts.etag, etag);
      return facts.modifiedMs === modifiedMs;
    });
    return matching.length === 0 ? [] : [matching.reduce((a, b) => dateOf(b) > dateOf(a) ? b : a)];
  }
  // Nothing tells which: only where one was asked for, and nothing else could be meant.
  return others.length === 0 ? [asked] : [];
}

/** True where what selects `asked` selects `other`: it varies with no more, and with the same values. */
function selectedToo(other: StoredResponse, asked: StoredResponse): boolean {
  return other.varied.every(([name, value]) => asked.varied.some(([n, v]) => n === name && v === value));
}

function dateOf({ response }: { readonly response: StoredResponse }): number {
  return factsOf(response).dateMs;
}

/**
 * What the answer 200 to a HEAD says of a stored response to GET (§4.3.5). Another validator, another length, or another
 * status, and what is stored is no longer what the origin has. An answer 5xx says nothing: do not ask then.
 */
export function comparedWithHead(stored: StoredResponse, received: ReceivedHead): "freshen" | "invalidate" {
  if (received.status !== stored.status) return "invalidate";
  const facts = factsOf(stored);
  const etag = etagOf(received.fields);
  if (etag !== null && etag !== facts.etag) return "invalidate";
  const modified = fieldOf(received.fields, "last-modified");
  if (modified !== null && dateIn(received.fields, "last-modified") !== facts.modifiedMs) return "invalidate";
  const length = contentLength(received.fields);
  if (length === null || length === stored.length) return "freshen";
  // The length of what is stored may not be known yet: then only a strong validator tells that it is the same.
  return stored.length === null && equalStrongly(etag, facts.etag) ? "freshen" : "invalidate";
}

/**
 * True where parts of both may stand in one body: the same strong validator (RFC 9110 §15.3.7.3, RFC 9111 §3.4), and no
 * other length. A Last-Modified is strong only beside a Date that is a minute younger.
 */
export function sameRepresentation(stored: StoredResponse, received: ReceivedHead): boolean {
  const length = completeLength(received);
  if (length !== null && stored.length !== null && length !== stored.length) return false;
  const facts = factsOf(stored);
  const etag = etagOf(received.fields);
  if (etag !== null || facts.etag !== null) return equalStrongly(etag, facts.etag);
  const modifiedMs = dateIn(received.fields, "last-modified");
  const dateMs = dateIn(received.fields, "date");
  return modifiedMs !== null && dateMs !== null && modifiedMs === facts.modifiedMs &&
    isStrongDate(modifiedMs, dateMs) && isStrongDate(modifiedMs, facts.dateMs);
}
