/**
 * What an edge tells a sibling that it asks: who it is, and up to where its own log of purges goes. The sibling answers
 * from its cache only once it knows those purges too; else an edge would fetch again what it has just purged.
 */

/** A place in a server's log of purges. */
export interface Stamp {
  id: string;
  log: string;
  head: number;
}

/** As the value of a field. */
export function stampText({ id, log, head }: Stamp): string {
  return `${id};log=${log};head=${head}`;
}

/** The inverse of {@link stampText}; null for any other text. */
export function parseStamp(text: string): Stamp | null {
  const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63});log=([A-Za-z0-9-]{1,64});head=(\d{1,15})$/.exec(text);
  return match && { id: match[1]!, log: match[2]!, head: Number(match[3]) };
}
