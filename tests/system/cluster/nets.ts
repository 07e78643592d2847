/**
 * Machines on a network of our own: network namespaces on a bridge each server's link to which can be cut, and beside
 * it a line to each by which only the test comes. Linux, and root.
 */
import { assert } from "@std/assert";

/** Why there can be none here; null where there can. */
export const noNets: string | null = await whyNot();

/** One machine. */
export interface Machine {
  /** Words before a command that runs there. */
  readonly within: string[];
  /** Its address for the other machines. */
  readonly address: string;
  /** Its address for the test. */
  readonly ourAddress: string;
  /** Cuts it off from all others, or joins it again. */
  link(state: "down" | "up"): Promise<void>;
  /** Takes it over to another bridge: it reaches only those on the same. */
  side(bridge: 0 | 1): Promise<void>;
}

/** Makes `count` machines; disposal takes away all that was made. */
export async function makeNets(count: number): Promise<{ machines: Machine[] } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  // Names of interfaces have at most 15 letters; two runs at once must not meet.
  const tag = `mc${crypto.getRandomValues(new Uint16Array(1))[0]!.toString(36)}`;
  const subnet = crypto.getRandomValues(new Uint8Array(1))[0]!;
  // The bridges and the far ends of the links are in a namespace too: only the lines to us are not.
  const hub = `${tag}h`;
  await namespace(stack, hub);
  for (const bridge of [0, 1]) {
    await ip("-n", hub, "link", "add", `br${bridge}`, "type", "bridge");
    await ip("-n", hub, "link", "set", `br${bridge}`, "up");
  }
  const machines: Machine[] = [];
  for (let at = 0; at < count; at++) {
    const name = `${tag}n${at}`;
    await namespace(stack, name);
    const port = `p${at}`;
    await ip("link", "add", port, "netns", hub, "type", "veth", "peer", "name", "eth0", "netns", name);
    await ip("-n", hub, "link", "set", port, "master", "br0", "up");
    const address = `10.213.${subnet}.${at + 1}`;
    await ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", name, "link", "set", "lo", "up");
    await ip("-n", name, "link", "set", "eth0", "up");
    const ourAddress = `10.214.${subnet}.${at * 4 + 2}`;
    const line = `${tag}l${at}`;
    await ip("link", "add", line, "type", "veth", "peer", "name", "eth1", "netns", name);
    stack.defer(() => ip("link", "del", line).catch(() => {})); // it goes with its namespace, but not at once
    await ip("addr", "add", `10.214.${subnet}.${at * 4 + 1}/30`, "dev", line);
    await ip("link", "set", line, "up");
    await ip("-n", name, "addr", "add", `${ourAddress}/30`, "dev", "eth1");
    await ip("-n", name, "link", "set", "eth1", "up");
    machines.push({
      within: ["ip", "netns", "exec", name],
      address,
      ourAddress,
      link: (state) => ip("-n", hub, "link", "set", port, state),
      side: (bridge) => ip("-n", hub, "link", "set", port, "master", `br${bridge}`),
    });
  }
  const owned = stack.move();
  return { machines, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function namespace(stack: AsyncDisposableStack, name: string): Promise<void> {
  await ip("netns", "add", name);
  stack.defer(() => ip("netns", "del", name));
}

async function ip(...words: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args: words }).output();
  assert(success, `ip ${words.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

async function whyNot(): Promise<string | null> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return "only root on Linux may make network namespaces";
  const name = `mcx${Deno.pid}`;
  try {
    await ip("netns", "add", name);
    await ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name);
    await ip("netns", "exec", name, "true");
    return null;
  } catch (error) {
    return (error as Error).message.trim();
  } finally {
    await ip("link", "del", name).catch(() => {});
    await ip("netns", "del", name).catch(() => {});
  }
}
