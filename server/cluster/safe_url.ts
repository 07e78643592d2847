/**
 * Which URLs of other servers are asked: a record comes from another machine, and must not make this one ask itself, or
 * what only it can reach (server-side request forgery, OWASP API7:2023). Names are judged as they are written: what they
 * resolve to is not known here.
 */

/** Where clouds keep the credentials of the machine, beyond the link-local addresses. */
const METADATA = new Set(["metadata.google.internal", "metadata", "instance-data", "100.100.100.200", "fd00:ec2::254"]);

/**
 * Why the record of another server may not have this URL; null where it may. Loopback is right only where our own URL
 * is loopback too.
 * @param ownUrl our own; "" where it is not known yet: then loopback is not refused
 */
export function urlFault(url: string, ownUrl: string): string | null {
  const host = hostOf(url);
  if (host === null) return "is not a URL";
  if (METADATA.has(host) || isLinkLocal(host)) return "is a link-local or metadata address";
  if (ownUrl === "") return null;
  const own = hostOf(ownUrl);
  if (isLoopback(host) && !(own !== null && isLoopback(own))) return "is this machine's own loopback";
  if (own !== null && placeOf(url) === placeOf(ownUrl)) return "is this server's own";
  return null;
}

/** As the URL standard writes it: IPv4 in any spelling as a dotted quad, IPv6 compressed and without brackets, names lower case. */
function hostOf(url: string): string | null {
  if (!URL.canParse(url)) return null;
  const host = new URL(url).hostname.replace(/\.+$/, "").replace(/^\[|\]$/g, "");
  return embeddedV4(host) ?? host;
}

function placeOf(url: string): string {
  const { protocol, port } = new URL(url);
  return `${hostOf(url)} ${port || (protocol === "https:" ? "443" : "80")}`;
}

/** The IPv4 address within an IPv6 one: mapped, compatible, NAT64 (RFC 4291 §2.5.5, RFC 6052 §2.1), 6to4 (RFC 3056). */
function embeddedV4(host: string): string | null {
  if (!host.includes(":")) return null;
  const sixToFour = /^2002:([0-9a-f]{1,4}):([0-9a-f]{1,4})?(:|$)/.exec(host);
  const atEnd = /^(?:::|::ffff:|64:ff9b::)(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/.exec(host);
  // "::" and "::1" are addresses of their own.
  if (host === "::1" || (!sixToFour && !atEnd)) return null;
  const [high, low] = (sixToFour ?? atEnd!).slice(1, 3).map((digits) => parseInt(digits || "0", 16));
  return [high! >> 8, high! & 255, low! >> 8, low! & 255].join(".");
}

/** This machine: also the unspecified address, which reaches it on most systems. */
function isLoopback(host: string): boolean {
  return /^(127|0)\.\d+\.\d+\.\d+$/.test(host) || host === "::1" || host === "::" ||
    /^(.*\.)?(localhost|localhost\.localdomain|ip6-localhost|ip6-loopback)$/.test(host);
}

function isLinkLocal(host: string): boolean {
  return host.startsWith("169.254.") && /^[\d.]+$/.test(host) || /^fe[89ab][0-9a-f]:/.test(host);
}
