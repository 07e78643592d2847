/**
 * Certificates from a public authority (ACME, RFC 8555), for what viewers see. The domain is proved by HTTP
 * (`http-01`, §8.3): the authority fetches a file from port 80 of each name.
 */
import { axios, Client, crypto as keys, directory } from "acme-client";
import { Agent } from "node:https";
import { CdnError } from "../proto/mod.ts";
import type { Handler } from "../runtime/listen.ts";

/** The directory that is asked unless another is named. */
export const defaultDirectory: string = directory.letsencrypt.production;
/** The same authority's for trying: of no worth to viewers, and with far higher limits. */
export const stagingDirectory: string = directory.letsencrypt.staging;

const CHALLENGE = "/.well-known/acme-challenge/";

/** Answers the authority's questions, and nothing else. */
export class ChallengeResponder {
  readonly #answers = new Map<string, string>();

  /** For `listen`. */
  readonly handler: Handler = (request) => {
    const { pathname } = new URL(request.url);
    const answer = pathname.startsWith(CHALLENGE) ? this.#answers.get(pathname.slice(CHALLENGE.length)) : undefined;
    if (answer === undefined) return new Response("Nothing here\n", { status: 404 });
    return new Response(answer, { headers: { "content-type": "application/octet-stream" } });
  };

  /** From now on the token is answered. */
  add(token: string, answer: string): void {
    this.#answers.set(token, answer);
  }

  /** No longer. */
  remove(token: string): void {
    this.#answers.delete(token);
  }
}

/** What to ask for. */
export interface AcmeOrder {
  /** DNS names; the first is the certificate's own. */
  names: readonly string[];
  email: string | null;
  /** Where the authority is. */
  directoryUrl: string;
  /** The account's key, PEM (`makeAcmeKey`); the account is made with it unless it is there. */
  accountKey: string;
  responder: ChallengeResponder;
  /** CA certificates (PEM) to believe the directory by, for test authorities. */
  caCertificates?: string | null;
}

/** A new P-256 key for an account or a certificate, PKCS #8 PEM. */
export async function makeAcmeKey(): Promise<string> {
  return (await keys.createPrivateEcdsaKey("P-256")).toString();
}

/**
 * Orders a certificate, with a new key. The caller has agreed to the authority's terms, and has the responder listening.
 * @returns the chain and the key, PEM
 * @throws {CdnError} with the authority's own words
 */
export async function orderCertificate(
  { names, email, directoryUrl, accountKey, responder, caCertificates = null }: AcmeOrder,
): Promise<{ certificate: string; key: string }> {
  const [commonName, ...others] = names;
  if (caCertificates !== null) axios.defaults.httpsAgent = new Agent({ ca: caCertificates });
  try {
    const client = new Client({ directoryUrl, accountKey });
    const [key, csr] = await keys.createCsr(
      { commonName: commonName!, altNames: [commonName!, ...others] },
      await makeAcmeKey(),
    );
    const certificate = await client.auto({
      csr,
      ...(email === null ? {} : { email }),
      termsOfServiceAgreed: true,
      challengePriority: ["http-01"],
      skipChallengeVerification: true, // the authority will tell
      challengeCreateFn: (_, { type, token }, answer) => {
        if (type !== "http-01") throw new Error(`the authority offers ${type} and not http-01`);
        return Promise.resolve(responder.add(token, answer));
      },
      challengeRemoveFn: (_, { token }) => Promise.resolve(responder.remove(token)),
    });
    return { certificate, key: key.toString() };
  } catch (cause) {
    throw new CdnError(
      `Cannot get a certificate for ${names.join(", ")} from ${directoryUrl}: ${(cause as Error).message}`,
      {
        source: "peer",
        retry: true,
        cause,
      },
    );
  } finally {
    delete axios.defaults.httpsAgent;
  }
}
