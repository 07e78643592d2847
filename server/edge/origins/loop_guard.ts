/** Requests that come round to us: Via (RFC 9110 §7.6.3) and CDN-Loop (RFC 8586) say who has passed them on. Pure. */
import { CdnError } from "../../../proto/mod.ts";
import { isToken } from "../../../runtime/http1/lines.ts";
import { hasPassed } from "../../../runtime/http1/pass_on.ts";
import type { HeaderLine } from "../../../runtime/http1/transport.ts";

/** Adds us to a request's fields. @throws {CdnError} 508 where we are there already */
export type LoopGuard = (fields: readonly HeaderLine[], receivedVersion?: string) => HeaderLine[];

/**
 * A guard for one edge. What it hands back has `via` and `cdn-loop` once each, at the end, with all that they had and
 * with us after it.
 * @param pseudonym a token that no other proxy has, siblings among them: they pass requests to each other
 * @throws {TypeError} for one that is no token
 */
export function loopGuard(pseudonym: string): LoopGuard {
  if (!isToken(pseudonym)) throw new TypeError("The pseudonym must be a token");
  const own = pseudonym.toLowerCase();
  return (fields, receivedVersion = "1.1") => {
    const lines: HeaderLine[] = [];
    const via: string[] = [];
    const cdnLoop: string[] = [];
    for (const line of fields) {
      if (line[0] === "via") via.push(line[1]);
      else if (line[0] === "cdn-loop") cdnLoop.push(line[1]);
      else lines.push(line);
    }
    if (hasPassed(via.join(), pseudonym) || cdnLoop.some((value) => names(value, own))) {
      throw new CdnError("Cannot ask the origin: the request has been here already, it goes round in a loop", {
        source: "client",
        status: 508,
      });
    }
    via.push(`${receivedVersion} ${pseudonym}`);
    cdnLoop.push(pseudonym);
    lines.push(["via", via.join(", ")], ["cdn-loop", cdnLoop.join(", ")]);
    return lines;
  };
}

/**
 * True where a CDN-Loop value has this id, in lower case. Quotes are no shelter: a parameter of somebody before us may
 * open one and never close it, and hide whoever comes after.
 */
function names(value: string, id: string): boolean {
  return value.split(",").some((info) => info.split(";", 1)[0]!.trim().toLowerCase() === id);
}
