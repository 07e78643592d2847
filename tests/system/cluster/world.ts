/** Several servers that know each other, and what their being whole means. */
import { join } from "@std/path";
import { eventually, tempDir } from "../../kit/mod.ts";
import { Node, type NodeOptions, PATIENCE_MS } from "./node.ts";

/** Servers `a`, `b`, `c`, … in a folder that goes with them. */
export interface World extends AsyncDisposable {
  readonly folder: string;
  readonly nodes: Node[];
}

/** What differs from server to server. */
export type NodeShape = Partial<Omit<NodeOptions, "id" | "logFile">>;

/**
 * Starts `count` servers: the first alone, each further one with the address of the first (`peerUrl` where they reach it
 * by another than we do). Resolves when all of them are whole.
 */
export async function startWorld(
  count: number,
  shape: (id: string, at: number) => NodeShape,
  { peerUrl }: { peerUrl?: string } = {},
): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir()).path;
  const nodes: Node[] = [];
  for (let at = 0; at < count; at++) {
    const id = String.fromCharCode(97 + at);
    const logFile = join(folder, `${id}.log`);
    const node = stack.use(new Node({ data: join(folder, id), ...shape(id, at), id, logFile }));
    await telling([node], () => node.start(nodes.slice(0, 1).map((first) => peerUrl ?? first.url)));
    nodes.push(node);
  }
  await telling(nodes, () => whole(nodes));
  const owned = stack.move();
  return { folder, nodes, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits until all of these are up, hold what there is, and see each other alive and in step. */
export async function whole(nodes: readonly Node[]): Promise<void> {
  const ids = nodes.map(({ id }) => id).sort();
  let lacking = "";
  await eventually(async () => {
    lacking = "";
    for (const node of nodes) {
      const readiness = await node.readiness();
      if (readiness !== "ok\n") lacking += `${node.id}: ${readiness}\n`;
      const servers = await node.servers();
      for (const { id, health } of servers) {
        if (!["alive", "self"].includes(health?.state ?? "") || health?.lagObjects !== 0n) {
          lacking += `${node.id} sees ${id} ${health?.state}, lag ${health?.lagObjects} ${health?.error}\n`;
        }
      }
      const known = servers.map(({ id }) => id).sort();
      if (known.join() !== ids.join()) lacking += `${node.id} knows of ${known}\n`;
    }
    if (lacking !== "") throw new Error(`not whole:\n${lacking}`);
    for (const node of nodes) node.ready = true;
    return true;
  }, { what: "the cluster being whole", deadlineMs: 2 * PATIENCE_MS, everyMs: 200 });
}

/** Waits until each of these sees the server of this id in one of these states; "" is to have it on no list. */
export async function sees(by: readonly Node[], id: string, ...states: string[]): Promise<void> {
  for (const node of by) {
    await eventually(async () => states.includes(await node.stateOf(id)), {
      what: `${node.id} seeing ${id} ${states.join(" or ")}`,
      deadlineMs: PATIENCE_MS,
      everyMs: 100,
    });
  }
}

/** Does `work`; where it fails, the tails of the servers' logs go with the error. */
export async function telling<T>(nodes: readonly Node[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const tails = nodes.map((node) => `--- ${node.id}${node.isUp ? "" : " (down)"}\n${node.tail()}`).join("\n");
    throw new Error(`${(cause as Error).message}\n${tails}`, { cause });
  }
}
