/**
 * Normal forms of the request fields by which origins choose a representation. Two fields of one form ask for the same (RFC
 * 9111 §4.1). Origins get the very form that is keyed, so what they choose fits all who share the key.
 */
import { memo } from "../../serve/memo.ts";
import { members, splitUnquoted } from "./lists.ts";

/** Content codings that origins are asked for; those nobody knows are dropped. */
const CODINGS = ["br", "compress", "deflate", "gzip", "zstd"];
const ALIASES: ReadonlyMap<string, string> = new Map([["x-gzip", "gzip"], ["x-compress", "compress"]]);

const encodings = memo(encodingForm);
const languages = memo(languageForm);

/** The normal form of an Accept-Encoding field; never empty. */
export function normalEncodings(text: string): string {
  return text.length <= 256 ? encodings(text) : encodingForm(text);
}

/** The normal form of an Accept-Language field; empty where it asks for nothing. */
export function normalLanguages(text: string): string {
  return text.length <= 256 ? languages(text) : languageForm(text);
}

/** An Accept field with one space after each comma, and none around semicolons. */
export function normalAccept(text: string): string {
  return members(text).map((member) => splitUnquoted(member, ";").join(";")).join(", ");
}

/** The codings that are wanted, the most wanted first; `identity` only where it matters (RFC 9110 §12.5.3). */
function encodingForm(text: string): string {
  const asked = weights(text, (name) => {
    const lower = name.toLowerCase();
    const coding = ALIASES.get(lower) ?? lower;
    return CODINGS.includes(coding) || coding === "identity" || coding === "*" ? coding : null;
  });
  const rest = asked.get("*");
  asked.delete("*");
  for (const coding of rest === undefined ? [] : CODINGS) if (!asked.has(coding)) asked.set(coding, rest!);
  if (rest === 0 && !asked.has("identity")) asked.set("identity", 0);
  const identity = asked.get("identity");
  const wanted = inOrder([...asked].filter(([, weight]) => weight > 0));
  if (identity !== undefined && wanted.length > 1 && wanted.every(([name, q]) => name === "identity" || q > identity)) {
    return format(wanted.filter(([name]) => name !== "identity"), identity === 0);
  }
  if (wanted.every(([name]) => name === "identity")) return identity === 0 ? "identity;q=0" : "identity";
  return format(wanted, identity === 0);
}

function format(wanted: readonly (readonly [string, number])[], noIdentity: boolean): string {
  const shown = wanted.map(([name, q]) => q === 1 ? name : `${name};q=${q}`);
  if (noIdentity) shown.push("identity;q=0");
  return shown.join(", ");
}

/**
 * Language ranges, the most wanted first. A range of weight 0 stays where it takes something away from a wider one. Those
 * of one weight have no order (RFC 9110 §12.5.4): they stand by the alphabet.
 */
function languageForm(text: string): string {
  const asked = weights(
    text,
    (range) => /^(?:\*|[a-z]{1,8}(?:-[a-z0-9]{1,8}){0,8})$/i.test(range) ? inCase(range) : null,
  );
  const kept = [...asked].filter(([range, q]) => q > 0 || widerIsWanted(range, asked));
  return inOrder(kept).map(([range, q]) => q === 1 ? range : `${range};q=${q}`).join(", ");
}

function widerIsWanted(range: string, asked: ReadonlyMap<string, number>): boolean {
  if (range === "*") return false;
  for (let at = range.lastIndexOf("-"); at > 0; at = range.lastIndexOf("-", at - 1)) {
    if (asked.get(range.slice(0, at))) return true;
  }
  return Boolean(asked.get("*"));
}

/** As RFC 5646 §2.1.1 writes it: `zh-Hant-TW`. */
function inCase(range: string): string {
  let afterSingleton = false;
  return range.toLowerCase().split("-").map((subtag, place) => {
    const plain = place === 0 || afterSingleton;
    afterSingleton ||= subtag.length === 1;
    if (plain) return subtag;
    if (subtag.length === 2) return subtag.toUpperCase();
    return subtag.length === 4 ? subtag[0]!.toUpperCase() + subtag.slice(1) : subtag;
  }).join("-");
}

/** The weight of each member that `name` knows; of several the first counts, and a malformed weight drops its member. */
function weights(text: string, name: (text: string) => string | null): Map<string, number> {
  const found = new Map<string, number>();
  for (const member of text.split(",")) {
    const [head, ...parameters] = member.split(";").map((part) => part.trim());
    const key = name(head!);
    if (key === null || found.has(key)) continue;
    let weight: number | null = 1;
    for (const parameter of parameters) {
      const q = /^q\s*=\s*(.*)$/i.exec(parameter)?.[1];
      if (q !== undefined) weight = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(q) ? Number(q) : null;
    }
    if (weight !== null) found.set(key, weight);
  }
  return found;
}

function inOrder(weighted: [string, number][]): [string, number][] {
  return weighted.sort(([a, p], [b, q]) => q - p || (a < b ? -1 : 1));
}
