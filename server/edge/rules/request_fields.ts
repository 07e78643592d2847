/**
 * A request's fields on their way to an origin. What a field says that is in no key would be heard by all who are answered
 * from the cache later: so the fields by which frameworks let a client say where it is, or what it really asks for, end
 * here. Those that an origin answers by name and may vary on (Cookie, User-Agent, Accept, Authorization) go on.
 */
import { CONDITIONS, namedByConnection, STOPS_HERE } from "../../../runtime/http1/pass_on.ts";
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import { joined } from "../../../runtime/http1/lines.ts";
import { normalEncodings, normalLanguages } from "./negotiation.ts";
import type { Lines } from "./types.ts";

/** Other names for the target, the method, the scheme or the client; with all that begin with `x-forwarded`. */
const UNKEYED: ReadonlySet<string> = new Set([
  "base-url",
  "cf-connecting-ip",
  "client-ip",
  "fastly-client-ip",
  "forwarded",
  "front-end-https",
  "proxy",
  "proxy-host",
  "proxy-url",
  "request-uri",
  "true-client-ip",
  "x-arr-ssl",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-custom-ip-authorization",
  "x-host",
  "x-http-destinationurl",
  "x-http-host-override",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-middleware-prefetch",
  "x-middleware-subrequest",
  "x-original-host",
  "x-original-remote-addr",
  "x-original-uri",
  "x-original-url",
  "x-originating-ip",
  "x-override-url",
  "x-proxy-url",
  "x-proxyuser-ip",
  "x-real-ip",
  "x-remote-addr",
  "x-remote-ip",
  "x-rewrite-url",
  "x-scheme",
  "x-server",
  "x-server-name",
  "x-url-scheme",
]);

/** True for a field that no origin gets to see, so that no response of one varies with it. */
export function isUnkeyed(name: string): boolean {
  return UNKEYED.has(name) || name.startsWith("x-forwarded");
}

/** The request's fields as they go to an origin: negotiation in its normal form, nothing that is not keyed, no conditions. */
export function normalised(fields: Lines): Lines {
  const named = namedByConnection(fields);
  const lines: HeaderLine[] = [];
  let encodingDone = false;
  let languageDone = false;
  for (const line of fields) {
    const name = line[0];
    if (STOPS_HERE.has(name) || CONDITIONS.has(name) || isUnkeyed(name) || named?.has(name)) continue;
    if (name === "accept-encoding") {
      if (!encodingDone) lines.push([name, normalEncodings(joined(fields, name)!)]);
      encodingDone = true;
    } else if (name === "accept-language") {
      const value = languageDone ? "" : normalLanguages(joined(fields, name)!);
      if (value !== "") lines.push([name, value]);
      languageDone = true;
    } else lines.push(line);
  }
  return lines;
}

/** A request's conditions and its Range, as they came: for an origin that is to answer that very request. */
export function conditions(fields: Lines): Lines {
  return fields.filter(([name]) => CONDITIONS.has(name));
}

/** The conditions of a request that only an origin may judge (RFC 9111 §4.3.2): they go along with such a request. */
export function originConditions(fields: Lines): Lines {
  return fields.filter(([name]) => name === "if-match" || name === "if-unmodified-since");
}
