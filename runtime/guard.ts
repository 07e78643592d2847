/**
 * Who may do what.
 *
 * - No token set: the program listens on loopback only (`listen.ts` sees to it), and writes are open
 *   to requests whose Host is loopback and whose Origin, if there is one, is the program's own. So a
 *   web page somewhere cannot make the visitor's browser write here (cross-site requests, DNS rebinding).
 * - A token set: it is required for every write, for admin and for listings, wherever the request comes
 *   from, as `Authorization: Bearer TOKEN`; to read, also as the password of Basic, so that a browser can. A caller on loopback gets no more than others: a proxy is a local caller too.
 * - Peers (servers among themselves, proxies to servers) sign with the cluster key; see `signature.ts`.
 * - What only servers do, a server signs with its own key besides: the cluster key alone, which every proxy has too,
 *   lets nobody speak as a server that is known, nor, where certificates are checked, as any.
 */
import { timingSafeEqual } from "@std/crypto/timing-safe-equal";
import { CdnError, normalAuthority, splitTarget } from "../proto/mod.ts";
import { readAll } from "./body.ts";
import { type CheckBody, sha256, SignatureVerifier, type VerifierOptions } from "./signature.ts";

/** The secrets that a program was started with; null where not set. */
export interface Secrets {
  /** METACDN_TOKEN: for writes and admin. */
  token: string | null;
  /** METACDN_CLUSTER_KEY: between servers, and from proxies to servers. */
  clusterKey: Uint8Array | null;
}

/** No secrets: for a program on loopback, and for tests. */
export const noSecrets: Secrets = { token: null, clusterKey: null };

/** How much of a body is read. */
export interface ReadLimits {
  /** In bytes. */
  limit: number;
  /** How long its sender may pause, in milliseconds. */
  idleMs?: number;
}

/** What a {@link Guard} works with beside the secrets; each has a default. */
export interface GuardOptions extends VerifierOptions {
  now?: () => number;
  /**
   * True for an authority (host and port) that is known to be another program's: what was signed for that one is not
   * taken here, so that it cannot be played again from server to server.
   */
  isOthers?: (authority: string) => boolean;
}

/** Decides whether a request may do what it asks. Each method returns, or throws a 401 or 403. */
export class Guard {
  readonly #tokenDigest: Uint8Array | null;
  readonly #hasClusterKey: boolean;
  readonly #checksCertificates: boolean;
  readonly #verifier: SignatureVerifier;
  readonly #now: () => number;
  readonly #isOthers: (authority: string) => boolean;

  constructor(
    { token, clusterKey }: Secrets,
    { now = Date.now, isOthers = () => false, verifyCertificate = null, ...kept }: GuardOptions = {},
  ) {
    this.#tokenDigest = token === null ? null : digestOf(token);
    this.#hasClusterKey = clusterKey !== null;
    this.#checksCertificates = verifyCertificate !== null;
    this.#verifier = new SignatureVerifier(clusterKey, { ...kept, verifyCertificate });
    this.#now = now;
    this.#isOthers = isOthers;
  }

  /** For writes, admin and listings. */
  requireToken(request: Request): void {
    if (this.#tokenDigest) this.#checkToken(request);
    else requireLocal(request);
  }

  /**
   * For what only peers do, without a body.
   * Without a cluster key: open on a loopback program without a token, else refused.
   */
  requirePeer(request: Request): void {
    this.#checkPeer(request)(null);
  }

  /**
   * For what only peers do, with a body: hands it back whole. It is read only once the signature of the head, which
   * covers its digest, is known to be right: for a stranger nothing is kept in memory.
   * @throws {CdnError} also as {@link readAll} does.
   */
  async readFromPeer(request: Request, reading: ReadLimits): Promise<Uint8Array<ArrayBuffer>> {
    const checkBody = this.#checkPeer(request);
    const body = await readAll(request, reading);
    checkBody(body);
    return body;
  }

  /**
   * For what only servers do, without a body: hands back the id of the server that asks, as its signature proves it.
   * Null only for an unsigned request to a program on loopback without secrets (and certificates).
   */
  requireServer(request: Request): string | null {
    const { from, checkBody } = this.#checkServer(request);
    checkBody(null);
    return from;
  }

  /** The same with a body, which is read as {@link readFromPeer} does. */
  async readFromServer(
    request: Request,
    reading: ReadLimits,
  ): Promise<{ body: Uint8Array<ArrayBuffer>; from: string | null }> {
    const { from, checkBody } = this.#checkServer(request);
    const body = await readAll(request, reading);
    checkBody(body);
    return { body, from };
  }

  /** For what the token and the cluster key both open: the list of servers, prices. */
  requireTokenOrPeer(request: Request): void {
    if (this.#comesFromPeer(request)) this.requirePeer(request);
    else this.requireToken(request);
  }

  /** The same with a body, which is handed back as {@link readFromPeer} does: quotes, usage reports. */
  async readFromTokenOrPeer(request: Request, reading: ReadLimits): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#comesFromPeer(request)) return await this.readFromPeer(request, reading);
    this.requireToken(request);
    return await readAll(request, reading);
  }

  #comesFromPeer(request: Request): boolean {
    return this.#hasClusterKey && SignatureVerifier.isSigned(request.headers);
  }

  /** Checks the head. What comes back checks the body. */
  #checkPeer(request: Request): (body: Uint8Array | null) => void {
    if (!this.#hasClusterKey) {
      this.#requireOpen(request);
      return () => {};
    }
    this.#requireOurs(request);
    return this.#inTime(this.#verifier.checkHead(request, this.#now()));
  }

  #checkServer(request: Request): { from: string | null; checkBody: (body: Uint8Array | null) => void } {
    if (!this.#hasClusterKey && !this.#checksCertificates) {
      this.#requireOpen(request);
      if (!SignatureVerifier.isSignedByServer(request.headers)) return { from: null, checkBody: () => {} };
    }
    this.#requireOurs(request);
    const { from, checkBody } = this.#verifier.checkServerHead(request, this.#now());
    return { from, checkBody: this.#inTime(checkBody) };
  }

  #inTime(checkBody: CheckBody): (body: Uint8Array | null) => void {
    return (body) => checkBody(body, this.#now());
  }

  /** Where there is nothing to check a peer by: only a program on loopback without a token is open. */
  #requireOpen(request: Request): void {
    if (this.#tokenDigest) {
      throw new CdnError("Cannot let a peer in: no cluster key is set here (METACDN_CLUSTER_KEY)", {
        source: "client",
        status: 401,
        headers: { "www-authenticate": "Signature" },
      });
    }
    requireLocal(request);
  }

  #requireOurs(request: Request): void {
    const authority = normalAuthority(splitTarget(request.url));
    if (!this.#isOthers(authority)) return;
    throw new CdnError(`This request was signed for ${authority}, which is another server`, {
      source: "client",
      status: 421, // RFC 9110 §15.5.20
    });
  }

  /** Compares digests, so that neither the token's length nor its first wrong byte shows in time. */
  #checkToken(request: Request): void {
    const field = request.headers.get("authorization");
    // Basic lets a browser ask for the token and show a page. It sends it along on its own from then on, from pages
    // of others too, so it must never write.
    const reads = request.method === "GET" || request.method === "HEAD";
    const given = field && (bearerToken(field) ?? (reads ? basicPassword(field) : null));
    if (given && timingSafeEqual(digestOf(given), this.#tokenDigest!)) return;
    throw new CdnError(
      field ? "The token is not the one that is set here" : "A token is required: Authorization: Bearer TOKEN",
      {
        source: "client",
        status: 401,
        headers: { "www-authenticate": `Bearer realm="metacdn"${reads ? ', Basic realm="metacdn"' : ""}` },
      },
    );
  }
}

/** True for names and addresses that only this machine answers: localhost, 127.0.0.0/8, ::1. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
  return host === "localhost" || host.endsWith(".localhost") || host === "::1" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || /^::ffff:127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** The host of an authority, without its port. */
export function hostOf(authority: string): string {
  return /^(\[[^\]]*\]|[^:]*)/.exec(authority)![1]!;
}

/** The open rule of a program without a token: the Host is loopback, and an Origin is our own. */
function requireLocal(request: Request): void {
  const { scheme, authority } = splitTarget(request.url);
  const host = request.headers.get("host")?.toLowerCase() ?? authority;
  if (!isLoopback(hostOf(authority)) || !isLoopback(hostOf(host))) {
    throw new CdnError(`Without a token, writes are taken only at a loopback address, not at ${hostOf(host)}`, {
      source: "client",
      status: 403,
    });
  }
  const origin = request.headers.get("origin");
  if (origin !== null && origin.toLowerCase() !== `${scheme}://${host}`) {
    throw new CdnError(`Without a token, writes are not taken from pages of another origin (${origin.slice(0, 100)})`, {
      source: "client",
      status: 403,
    });
  }
}

/** The token of a Bearer field (RFC 6750 §2.1); null for any other. */
function bearerToken(field: string): string | null {
  return /^Bearer +([\x21-\x7e]+) *$/i.exec(field)?.[1] ?? null;
}

/** The password of a Basic field (RFC 7617), whatever the user name; null for any other. */
function basicPassword(field: string): string | null {
  const encoded = /^Basic +([A-Za-z0-9+/]+=*) *$/i.exec(field)?.[1];
  if (!encoded) return null;
  try {
    return /^[^:]*:([\x21-\x7e]+)$/.exec(atob(encoded))?.[1] ?? null;
  } catch {
    return null;
  }
}

function digestOf(text: string): Uint8Array {
  return new TextEncoder().encode(sha256(new TextEncoder().encode(text)));
}
