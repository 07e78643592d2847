/**
 * A network of its own on one machine: a namespace a machine, all at one bridge, each with a line whose rate can be set
 * (token bucket, both ways, shared by all its connections). Linux, as root. It adds no delay: the kernel that this was
 * made on has no netem.
 */
import { run } from "../kit.ts";

/** A machine of the network. */
export interface Machine {
  /** Put in front of a command, it runs the command there. */
  prefix: string[];
  address: string;
  /** What went out of it since it was made, in bytes on the wire. */
  sentBytes(): Promise<number>;
}

/** True where namespaces can be made here. */
export const canMakeNetworks: boolean = Deno.build.os === "linux" && Deno.uid() === 0;

/** Machines at one bridge; this process reaches them too, over a line without a limit. */
export class Network implements AsyncDisposable {
  readonly #bridge: string;
  readonly #net: string;
  readonly #names: string[] = [];
  readonly machines: Machine[] = [];

  private constructor(name: string, net: string) {
    this.#bridge = name;
    this.#net = net;
  }

  /** Makes it, with `count` machines. */
  static async make(count: number): Promise<Network> {
    const [first, second] = crypto.getRandomValues(new Uint8Array(2));
    const network = new Network(`mb${first!.toString(16)}${second!.toString(16)}`, `10.${first}.${second}`);
    try {
      await ip("link", "add", network.#bridge, "type", "bridge");
      await ip("addr", "add", `${network.#net}.254/24`, "dev", network.#bridge);
      await ip("link", "set", network.#bridge, "up");
      for (let at = 1; at <= count; at++) await network.#add(at);
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #add(at: number): Promise<void> {
    const name = `${this.#bridge}-${at}`;
    const address = `${this.#net}.${at}`;
    await ip("netns", "add", name);
    this.#names.push(name);
    await ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name);
    await ip("link", "set", name, "master", this.#bridge, "up");
    await ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", name, "link", "set", "eth0", "up");
    await ip("-n", name, "link", "set", "lo", "up");
    this.machines.push({
      prefix: ["ip", "netns", "exec", name],
      address,
      sentBytes: async () => Number(await run("cat", [`/sys/class/net/${name}/statistics/rx_bytes`])),
    });
  }

  /** Sets the rate of every machine's line, each way; null: no limit. */
  async shape(mbit: number | null): Promise<void> {
    for (const name of this.#names) {
      for (const place of [["-n", name, "qdisc", "replace", "dev", "eth0"], ["qdisc", "replace", "dev", name]]) {
        // A quarter of a megabyte may go at once: the kernel hands over packets of up to 64 KiB.
        const limit = mbit === null ? ["pfifo"] : ["tbf", "rate", `${mbit}mbit`, "burst", "256kb", "latency", "50ms"];
        await run("tc", [...place, "root", ...limit]);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) await ip("netns", "del", name).catch(() => {});
    await ip("link", "del", this.#bridge).catch(() => {});
  }
}

async function ip(...args: string[]): Promise<void> {
  await run("ip", args);
}
