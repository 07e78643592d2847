/**
 * The other edges of the cluster, asked before the origin: each key has one that owns it.
 * @module
 */
export { ownerOf } from "./rendezvous.ts";
export {
  liveEdges,
  type Sibling,
  SIBLING_FIELD,
  siblingDefaults,
  type SiblingFigures,
  type SiblingSettings,
  type SiblingsOptions,
  siblingTransport,
  withoutSiblings,
  withSiblings,
} from "./siblings.ts";
