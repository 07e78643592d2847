/** Servers between which every byte of a body is counted. */
import { Node, untilJoined } from "./node.ts";

/** Where a server stands. */
export interface Place {
  provider: string;
  region: string;
}

/** Servers that know each other, and what they carried. */
export interface Counted extends AsyncDisposable {
  readonly nodes: Node[];
  /** Bytes of bodies on each path: "from to". May be cleared. */
  readonly carried: Map<string, number>;
}

/** Starts a server at each of the places, by id. */
export async function startCounted(places: Readonly<Record<string, Place>>): Promise<Counted> {
  await using stack = new AsyncDisposableStack();
  const nodes: Node[] = [];
  const carried = new Map<string, number>();
  const counting = (to: string): typeof fetch => async (input, init) => {
    const response = await fetch(input, init);
    const url = new URL(String(input));
    const from = nodes.find((node) => node.url === url.origin)?.id;
    if (!url.pathname.startsWith("/-/v1/peer/bodies/") || !response.ok || !response.body) return response;
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          const path = `${from} ${to}`;
          carried.set(path, (carried.get(path) ?? 0) + chunk.byteLength);
          controller.enqueue(chunk);
        },
      }),
    );
    return new Response(counted, response);
  };
  for (const [id, place] of Object.entries(places)) {
    // Repair must not be what brings a body: the tree is looked at here.
    const node = new Node(id, { ...place, fetch: counting(id), settings: { repairAfterMs: 60_000, waitMs: 5_000 } });
    nodes.push(stack.use(node));
    await node.start(nodes.slice(0, -1).map(({ url }) => url).slice(0, 1));
  }
  await untilJoined(...nodes);
  const owned = stack.move();
  return { nodes, carried, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
