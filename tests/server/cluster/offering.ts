/** Offers made by hand, and their answers in short. */
import { create } from "@bufbuild/protobuf";
import { type Manifest, manifestToWire, wire } from "../../../proto/mod.ts";
import type { Node } from "./node.ts";

/** Offers in the name of a server. */
export function offering(from: Pick<Node, "id" | "url"> & { cluster?: Node["cluster"] }) {
  return {
    /** Signed by the one that offers. */
    lie: (manifest: Manifest): wire.Manifest => manifestToWire(from.cluster?.sign(manifest) ?? manifest),
    offer: (manifests: wire.Manifest[]): wire.Offer =>
      create(wire.OfferSchema, { from: from.id, url: from.url, manifests }),
  };
}

/** The names of the outcomes. */
export function outcomes(answer: wire.OfferAnswer): string[] {
  return answer.results.map(({ outcome }) => wire.OfferAnswer_Outcome[outcome]!);
}
