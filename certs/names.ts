/**
 * What our certificates say of a server: its id and its identity key, as names (URI, RFC 5280 §4.2.1.6).
 *
 *     urn:metacdn:server:<id>                      in every one
 *     urn:metacdn:key:<base64url of 32 bytes>      where the certificate's own key is not the identity key
 */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import { badRequest, identifier } from "../proto/mod.ts";

const SERVER = "urn:metacdn:server:";
const KEY = "urn:metacdn:key:";

/** The URI of a server's id. */
export const serverUri = (id: string): string => SERVER + id;
/** The URI of an identity key: Ed25519, 32 bytes. */
export const keyUri = (publicKey: Uint8Array): string => KEY + encodeBase64Url(publicKey);

/** The id among the URIs of a certificate; null where there is none, or more than one, or it is malformed. */
export function idOf(uris: readonly string[]): string | null {
  const [id, second] = uris.filter((uri) => uri.startsWith(SERVER)).map((uri) => uri.slice(SERVER.length));
  return id !== undefined && second === undefined && identifier(id) === null ? id : null;
}

/** The identity key among the URIs; null as for {@link idOf}. */
export function keyOf(uris: readonly string[]): Uint8Array<ArrayBuffer> | null {
  const [key, second] = uris.filter((uri) => uri.startsWith(KEY)).map((uri) => uri.slice(KEY.length));
  if (key === undefined || second !== undefined) return null;
  try {
    const bytes = decodeBase64Url(key);
    return bytes.length === 32 ? bytes : null;
  } catch {
    return null;
  }
}

/** @throws {CdnError} 400 for what is no id of a server. */
export function checkServerId(id: string): string {
  if (identifier(id) === null) return id;
  throw badRequest(`"${id.slice(0, 100)}" is no id of a server: 1 to 64 letters, digits, ".", "-" or "_"`);
}

/** A name that clients call a server by: DNS (RFC 1123 §2.1; `*` may stand for the first label), or an IP address. */
export interface HostName {
  type: "dns" | "ip";
  value: string;
}

/** @throws {CdnError} 400 for what is neither a DNS name nor an IP address. */
export function hostName(text: string): HostName {
  const bare = text.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (isIpv4(bare) || isIpv6(bare)) return { type: "ip", value: bare };
  const labels = bare.replace(/^\*\.(?=.*\.)/, "").split(".");
  const isDns = bare.length <= 253 && labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  if (isDns && !/^\d+$/.test(labels.at(-1)!)) return { type: "dns", value: bare };
  throw badRequest(`"${text.slice(0, 100)}" is neither a DNS name nor an IP address`);
}

function isIpv4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split(".").every((part) => Number(part) < 256);
}

function isIpv6(text: string): boolean {
  return text.includes(":") && /^[0-9a-f:.]+$/.test(text) && URL.canParse(`http://[${text}]`);
}
