/**
 * For which hosts a proxy answers. Pure.
 *
 * A request says its host in the target (`GET http://a/x`, a client that was told to use a proxy) or in the
 * Host field (`GET /x`, a client that takes us for the server); both look alike here. It is taken for
 *
 * - the names that it was given (`--name`), whatever the port,
 * - the host and port of a known server,
 * - itself: a loopback name or an IP address, with the port that it listens on.
 *
 * Anything else is refused: it is no open proxy, and a name that somebody points at it gets nothing from it.
 */
import { badRequest, CdnError, OWN_PREFIX, type Target } from "../proto/mod.ts";
import { hostOf, isLoopback } from "../runtime/guard.ts";

/** Whom a proxy answers for. */
export interface Hosts {
  /** Lower case, without a port. */
  names: ReadonlySet<string>;
  /** `host:port` of the known servers. */
  servers: ReadonlySet<string>;
  /** The port that it listens on. */
  port: number;
}

/** Where a request goes: to the proxy itself, or on to a server. */
export type Admitted = "own" | "forward";

const METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST"];

/**
 * Lets a request in, and says where it goes.
 * @throws {CdnError} 405 for a method that is not forwarded, 403 for a host that is not ours.
 */
export function admit(method: string, target: Target, hosts: Hosts): Admitted {
  if (method === "CONNECT") {
    throw refusal(405, "This proxy opens no tunnels (CONNECT): ask it for http:// URLs of its own servers", {
      allow: METHODS.join(", "),
    });
  }
  if (!METHODS.includes(method)) {
    throw refusal(405, `This proxy forwards ${METHODS.join(", ")} only`, { allow: METHODS.join(", ") });
  }
  if (!isOurs(target, hosts)) {
    throw refusal(
      403,
      `This proxy does not answer for ${
        target.authority.slice(0, 200) || "a request without a host"
      }: it forwards to its own servers only (names are added with --name)`,
    );
  }
  return target.path.startsWith(OWN_PREFIX) || target.path === "/-" ? "own" : "forward";
}

function isOurs({ scheme, authority }: Target, { names, servers, port }: Hosts): boolean {
  const name = hostOf(authority);
  const host = name.replace(/\.$/, "");
  if (host === "") return false;
  const afterHost = authority.slice(name.length);
  if (!/^(:\d{0,5})?$/.test(afterHost)) return false;
  if (names.has(host)) return true;
  const portText = afterHost.slice(1);
  const wanted = portText === "" ? (scheme === "https" ? 443 : 80) : Number(portText);
  return servers.has(`${host}:${wanted}`) || (wanted === port && (isLoopback(host) || isAddress(host)));
}

/** `host:port` of a base URL, the port always there. */
export function authorityOf(origin: string): string {
  const { hostname, port, protocol } = new URL(origin);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

/** An IPv4 address, or an IPv6 address in brackets. */
function isAddress(host: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(host) || /^\[[0-9a-f:.]+\]$/.test(host);
}

function refusal(status: number, message: string, headers: Record<string, string> = {}): CdnError {
  return new CdnError(message, { source: "client", status, headers });
}

/**
 * A host name to answer for, in lower case and without the final dot.
 * @throws {CdnError} 400 where it is none.
 */
export function checkName(name: string): string {
  const lower = name.toLowerCase().replace(/\.$/, "");
  if (!/^([a-z0-9]([a-z0-9-]*[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(lower) || lower.length > 253) {
    throw badRequest(`must be a host name such as cdn.example.com, without a port`);
  }
  return lower;
}
