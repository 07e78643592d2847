/** Where the three servers pretend to stand, and how far that is from the viewer. */
import data from "./links.json" with { type: "json" };
import type { LinkShape } from "./link.ts";

/** One of the three clouds. */
export interface PlaceOnMap {
  /** The server's id: the provider's name. */
  id: string;
  provider: string;
  /** As price sheets name it. */
  region: string;
  city: string;
  /** The link between it and everyone else, as measured. */
  shape: LinkShape;
}

/** Where the proxies, and whoever asks them, stand. */
export const viewer: { city: string; region: string } = data.viewer;

/** The three clouds. The link's rate is that of one connection: the figures are for 64 together. */
export const places: readonly PlaceOnMap[] = data.links.map(({ region, city, rttMs, throughputMbit }) => {
  const [provider, zone] = region.split(":") as [string, string];
  return {
    id: provider,
    provider,
    // Latencies of Google's cloud are by zone ("us-central1-a"), prices by region.
    region: provider === "gcp" ? zone.replace(/-[a-z]$/, "") : zone,
    city,
    shape: { rttMs, bytesPerSecond: Math.round(throughputMbit * 1e6 / 8 / data.connections) },
  };
});
