/**
 * Versions: stamps of a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks and Consistent
 * Snapshots in Globally Distributed Databases", 2014). They order writes in the same way everywhere.
 */

/** One stamp. */
export interface Version {
  /** Milliseconds since 1970, by the writer's clock. */
  wallMs: number;
  /** Orders stamps of the same millisecond; 0 to 2^32 - 1. */
  counter: number;
  /** Id of the server that wrote. */
  server: string;
}

/** Negative where `a` is older than `b`, positive where newer, 0 where they are the same write. */
export function compareVersions(a: Version, b: Version): number {
  return a.wallMs - b.wallMs || a.counter - b.counter || (a.server < b.server ? -1 : a.server > b.server ? 1 : 0);
}

/** A version as text whose order as text is its order: `01932b7c1d2e-00000000-server`. */
export function formatVersion({ wallMs, counter, server }: Version): string {
  return `${wallMs.toString(16).padStart(12, "0")}-${counter.toString(16).padStart(8, "0")}-${server}`;
}

/** The inverse of {@link formatVersion}; null for any other text. */
export function parseVersion(text: string): Version | null {
  const match = /^([0-9a-f]{12})-([0-9a-f]{8})-([A-Za-z0-9._-]{1,64})$/.exec(text);
  return match && { wallMs: parseInt(match[1]!, 16), counter: parseInt(match[2]!, 16), server: match[3]! };
}
