/** Which stored responses a purge means. Pure. */
import type { StoredResponse } from "../response.ts";
import type { Selection } from "./cache.ts";

/** A purge that is on: entries begun before it, the numbers of which are lower, are not found again as they were. */
export interface Purge {
  /** Higher than the ids of all entries that it may mean. */
  readonly number: number;
  readonly soft: boolean;
  readonly selection: Selection;
  means(key: string, response: StoredResponse): boolean;
  /** How many stored responses it meant so far. */
  count: number;
}

/** A purge of what `selection` names. */
export function purgeOf(selection: Selection, number: number, soft: boolean): Purge {
  const keys = new Set(selection.keys);
  const tags = new Set(selection.tags);
  return {
    number,
    soft,
    selection,
    means: (key, response) =>
      keys.has(key) || selection.prefixes.some((prefix) => key.startsWith(prefix)) ||
      (tags.size > 0 && response.tags.some((tag) => tags.has(tag))),
    count: 0,
  };
}
