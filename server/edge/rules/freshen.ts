/** Updating a stored response (RFC 9111 §3.2, §3.4). */
import type { StoredResponse } from "../response.ts";
import { completeLength } from "./content_range.ts";
import { responseDirectives } from "./response_directives.ts";
import { storableFields, tagsOf, tells, withoutWithheld } from "./stored_fields.ts";
import type { ReceivedHead, Times } from "./types.ts";

/**
 * What belongs to the bytes that are held, and so cannot change while they stay (§3.2: fields that the stored response
 * depends upon). Content-Length is never stored.
 */
const OF_THE_BODY: ReadonlySet<string> = new Set(["content-encoding", "content-md5", "content-range", "etag"]);

/**
 * The stored response as a 304, the 200 of a HEAD, or a further part (206) freshens it (§3.2): each field that came replaces
 * all of its name. Its age begins anew, and a soft purge is over. Set-Cookie is only taken where it would be stored.
 */
export function freshen(stored: StoredResponse, received: ReceivedHead, times: Times): StoredResponse {
  const { requestMs, responseMs } = times;
  const fresh = storableFields(received.fields, responseMs).filter(([name]) => !OF_THE_BODY.has(name));
  const replaced = new Set(fresh.map(([name]) => name));
  // What the last caches on the way knew of the age is not true of what was validated now.
  const kept = stored.fields.filter(([name]) => name !== "age" && !replaced.has(name));
  let fields = withoutWithheld([...kept, ...fresh]);
  const { public: isPublic, sMaxAge } = responseDirectives(fields);
  if (!isPublic && !sMaxAge) fields = fields.filter(([name]) => !/^set-cookie2?$/.test(name));
  return {
    ...stored,
    fields,
    length: stored.length ?? (received.status === 304 ? null : completeLength(received)),
    requestMs,
    responseMs,
    stale: false,
    tags: tells(received.fields) ? tagsOf(received.fields) : stored.tags,
  };
}
