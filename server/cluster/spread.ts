/**
 * The tree in which new content travels: each server has one parent that hands it on, so that an expensive path is
 * crossed once and not once a server. Pure, and the same on every server that knows the same members: nobody needs
 * to be told.
 *
 * It is the minimum spanning tree by price (R. C. Prim, "Shortest connection networks and some generalizations",
 * 1957), rooted at the server that accepted the content. Of paths that cost the same, the one nearest to the root is
 * taken; what is left to choose, a hash of the content decides (D. G. Thaler and C. V. Ravishankar, "Using
 * name-based mappings to increase hit rates", 1998), so that every server has its share of the work.
 */
import { createHash } from "node:crypto";
import { type Egress, pathPrice, type Place, usualEgress } from "./paths.ts";

/** A member as the tree sees it. */
export interface Branch {
  id: string;
  place: Place;
}

interface Node {
  branch: Branch;
  parent: Node | null;
  depth: number;
  /** Its children, by whether the path to them is free. */
  free: number;
  paid: number;
}

/**
 * The parent of each member but the root.
 * @param options.salt which of the equally good trees
 * @param options.fanOut the most children that a server has for free, and the most that it has at a price
 */
export function spreadTree(
  root: string,
  members: readonly Branch[],
  { salt, fanOut, egress = usualEgress }: { salt: string; fanOut: number; egress?: Egress },
): Map<string, string> {
  const start = members.find(({ id }) => id === root);
  if (!start) return new Map();
  const price = (from: Node, to: Branch) => pathPrice(from.branch.place, to.place, egress);
  const nodes: Node[] = [{ branch: start, parent: null, depth: 0, free: 0, paid: 0 }];

  /** The best parent for a member among some nodes; null where each of them is dearer than `below`, or full. */
  const bestParent = (to: Branch, among: readonly Node[], below = Infinity) => {
    let best: { from: Node; to: Branch; price: number; rank: number } | null = null;
    for (const from of among) {
      const cost = price(from, to);
      if (cost >= below || (cost === 0 ? from.free : from.paid) >= fanOut) continue;
      const found = { from, to, price: cost, rank: rankOf(salt, from.branch.id, to.id) };
      if (!best || order(found, best) < 0) best = found;
    }
    return best;
  };

  const outside = new Map(members.filter(({ id }) => id !== root).map((branch) => [branch.id, branch]));
  while (outside.size > 0) {
    let best: ReturnType<typeof bestParent> = null;
    for (const to of outside.values()) {
      const found = bestParent(to, nodes);
      if (found && (!best || order(found, best) < 0)) best = found;
    }
    // There is always one: the member that came in last has no children yet.
    const { from, to } = best!;
    const node: Node = { branch: to, parent: null, depth: 0, free: 0, paid: 0 };
    attach(node, from, price(from, to));
    nodes.push(node);
    outside.delete(to.id);
  }

  // Prices differ by direction, so a parent that came in later may be cheaper: then a member moves below that one.
  for (let moved = true; moved;) {
    moved = false;
    for (const node of nodes) {
      if (!node.parent) continue;
      const before = price(node.parent, node.branch);
      const better = bestParent(node.branch, nodes.filter((other) => !isBelow(other, node)), before);
      if (!better) continue;
      if (before === 0) node.parent.free--;
      else node.parent.paid--;
      attach(node, better.from, better.price);
      moved = true;
    }
  }
  return new Map(nodes.flatMap(({ branch, parent }) => parent ? [[branch.id, parent.branch.id]] : []));
}

/** The cheaper first, then the nearer to the root, then by hash. */
function order(
  a: { price: number; from: Node; rank: number },
  b: { price: number; from: Node; rank: number },
): number {
  return a.price - b.price || a.from.depth - b.from.depth || a.rank - b.rank;
}

function attach(node: Node, parent: Node, price: number): void {
  node.parent = parent;
  node.depth = parent.depth + 1;
  if (price === 0) parent.free++;
  else parent.paid++;
}

function isBelow(node: Node, above: Node): boolean {
  for (let at: Node | null = node; at; at = at.parent) if (at === above) return true;
  return false;
}

/** Trees that were made already, for one state of the list of members. */
export class SpreadTrees {
  readonly #made = new Map<string, Map<string, string>>();

  constructor(
    readonly members: readonly Branch[],
    readonly options: {
      fanOut: number;
      egress?: Egress;
      /** Where a root is that is no member: an edge that accepted something. */
      strangers?: (id: string) => Branch | null;
    },
  ) {}

  /** The parent of `id` for content of this digest that `root` accepted; null for the root, and for strangers. */
  parentOf(id: string, root: string, sha256: string): string | null {
    const salt = sha256.slice(0, 1);
    const name = `${salt} ${root}`;
    let tree = this.#made.get(name);
    if (!tree) {
      const { members, options } = this;
      const stranger = members.some((member) => member.id === root) ? null : options.strangers?.(root);
      tree = spreadTree(root, stranger ? [stranger, ...members] : members, { ...options, salt });
      this.#made.set(name, tree);
    }
    return tree.get(id) ?? null;
  }
}

const ranks = new Map<string, number>();

function rankOf(salt: string, from: string, to: string): number {
  const name = `${salt}\0${from}\0${to}`;
  let rank = ranks.get(name);
  if (rank === undefined) {
    if (ranks.size > 100_000) ranks.clear();
    ranks.set(name, rank = createHash("sha256").update(name).digest().readUInt32BE());
  }
  return rank;
}
