/**
 * HTTP Message Signatures (RFC 9421) as our programs write them: what is signed of a request, and how the signatures
 * that it carries are read. Whether one is right is the business of `signature.ts`.
 */
import {
  type InnerList,
  isInnerList,
  parseDictionary,
  parseItem,
  serializeInnerList,
  serializeItem,
} from "structured-headers";
import { CdnError, normalAuthority, splitTarget } from "../proto/mod.ts";

/** What every signature covers. */
export const COMPONENTS: readonly string[] = ["@method", "@authority", "@path", "@query"];
/** Fields that a signature covers where the request has them. */
const FIELDS: readonly string[] = ["content-digest", "metacdn-key", "client-cert"];

/** Longer fields are not looked into: two of our signatures take 700 characters, the longest certificate 10,926. */
const MOST_CHARACTERS: Readonly<Record<string, number>> = {
  "signature-input": 4096,
  "signature": 1024,
  "content-digest": 1024,
  "metacdn-key": 64,
  "client-cert": 11_000,
};

/** What is signed of a request. */
export interface SignedParts {
  method: string;
  /** Absolute, as sent. */
  url: string;
  /** Header fields that components may name, in lower case. */
  fields?: Readonly<Record<string, string>>;
}

/** A signature that a request carries, well-formed, and not yet known to be right. */
export interface RequestSignature {
  /** What it covers. */
  components: readonly string[];
  keyid: string;
  createdMs: number;
  nonce: string;
  /** What was signed, and what came out. */
  base: string;
  signature: Uint8Array;
}

/** The parameters of a signature as the two fields name them; `created` in whole seconds (RFC 9421 §2.3). */
export function signatureParameters(
  components: readonly string[],
  { createdMs, nonce, keyid, alg }: { createdMs: number; nonce: string; keyid: string; alg: string },
): string {
  return serializeInnerList([
    components.map((name) => [name, new Map()]),
    new Map<string, string | number>([
      ["created", Math.floor(createdMs / 1000)],
      ["nonce", nonce],
      ["keyid", keyid],
      ["alg", alg],
      ["tag", "metacdn"],
    ]),
  ]);
}

/** RFC 9421 §2.5: a line a component, then the parameters. */
export function signatureBase(parts: SignedParts, components: readonly string[], parameters: string): string {
  const target = splitTarget(parts.url);
  const lines = components.map((name) => `"${name}": ${componentValue(name, parts, target)}`);
  return [...lines, `"@signature-params": ${parameters}`].join("\n");
}

function componentValue(name: string, parts: SignedParts, target: ReturnType<typeof splitTarget>): string {
  switch (name) {
    case "@method":
      return parts.method;
    case "@authority":
      return normalAuthority(target);
    case "@path":
      return target.path;
    case "@query": // §2.2.7: with its "?"
      return `?${target.query}`;
    default: {
      const value = parts.fields?.[name];
      if (value === undefined) throw new TypeError(`unknown component ${name}`);
      return value.trim(); // §2.1
    }
  }
}

/**
 * The signatures of a request: the fields are parsed once, then each label is asked for with its algorithm.
 * What comes back throws a {@link CdnError} 401 for a signature that is missing, malformed, or covers too little.
 */
export function signaturesOf(
  { method, url, headers }: { method: string; url: string; headers: Headers },
): (label: string, alg: string) => RequestSignature {
  const inputs = dictionary(headers, "signature-input");
  const signatures = dictionary(headers, "signature");
  return (label, alg) => {
    const input = inputs?.get(label);
    const signature = bytesOf(signatures?.get(label)?.[0]);
    if (!input || !isInnerList(input) || !signature) throw refused(`the signature ${label} is missing or malformed`);
    const [items, parameters] = input;
    const components = componentsOf(items);
    if (parameters.get("alg") !== alg || parameters.get("tag") !== "metacdn") {
      throw refused(`the signature ${label} must have alg="${alg}" and tag="metacdn"`);
    }
    const [created, nonce, keyid] = ["created", "nonce", "keyid"].map((name) => parameters.get(name));
    if (typeof created !== "number" || typeof nonce !== "string" || !/^[\x21-\x7e]{8,64}$/.test(nonce)) {
      throw refused("the signature must have created and nonce");
    }
    if (typeof keyid !== "string") throw refused("the signature must have a keyid");
    const fields: Record<string, string> = {};
    for (const name of components) {
      if (name.startsWith("@")) continue;
      const value = bounded(headers, name);
      if (value === null) throw refused(`the signature covers ${name}, which is missing`);
      fields[name] = value;
    }
    const base = signatureBase({ method, url, fields }, components, serializeInnerList(input));
    return { components, keyid, createdMs: created * 1000, nonce, base, signature };
  };
}

/**
 * A field that is one byte sequence (RFC 8941 §3.3.5), such as Client-Cert (RFC 9440); null where it is absent.
 * @throws {CdnError} 401 where it is something else.
 */
export function byteField(headers: Headers, name: "metacdn-key" | "client-cert"): Uint8Array<ArrayBuffer> | null {
  const field = bounded(headers, name);
  if (field === null) return null;
  try {
    const bytes = bytesOf(parseItem(field)[0]);
    if (bytes) return bytes;
  } catch { /* said below */ }
  throw refused(`the field ${name} must be like ":BASE64:"`);
}

/** The inverse of {@link byteField}: `:BASE64:`. */
export function formatBytes(bytes: Uint8Array): string {
  return serializeItem(Uint8Array.from(bytes));
}

/** A 401 that says what is wrong with a signed request. */
export function refused(why: string, cause?: unknown): CdnError {
  return new CdnError(`Cannot accept the signed request: ${why}`, {
    source: "client",
    status: 401,
    headers: { "www-authenticate": "Signature" },
    cause,
  });
}

function componentsOf(items: InnerList[0]): string[] {
  const components = items.map(([name, modifiers]) => modifiers.size === 0 && typeof name === "string" ? name : "");
  for (const name of COMPONENTS) {
    if (!components.includes(name)) throw refused(`the signature does not cover ${name}`);
  }
  if (
    components.some((name) => !COMPONENTS.includes(name) && !FIELDS.includes(name)) ||
    new Set(components).size !== components.length
  ) throw refused("the signature covers a component that is not known here");
  return components;
}

function dictionary(headers: Headers, name: "signature-input" | "signature") {
  const field = bounded(headers, name);
  try {
    return field === null ? null : parseDictionary(field);
  } catch {
    return null;
  }
}

function bounded(headers: Headers, name: string): string | null {
  const field = headers.get(name);
  if (field !== null && field.length > MOST_CHARACTERS[name]!) {
    throw refused(`the field ${name} must have at most ${MOST_CHARACTERS[name]} characters`);
  }
  return field;
}

function bytesOf(value: unknown): Uint8Array<ArrayBuffer> | null {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : null;
}
