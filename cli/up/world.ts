/**
 * The whole meta-CDN on this machine: three servers posing as three clouds, each behind a shaped link; a
 * pricing server; and a proxy for each policy. Each is a real process of this program.
 */
import { create } from "@bufbuild/protobuf";
import { CdnError, wire } from "../../proto/mod.ts";
import { PeerClient } from "../../runtime/peer_client.ts";
import { Link } from "./link.ts";
import { type PlaceOnMap, places } from "./places.ts";
import { Program } from "./program.ts";

/** The policies that a proxy is started for, in the order in which they are shown. */
export const POLICIES = ["network", "price", "combined"] as const;
export type Policy = typeof POLICIES[number];

/** One of the three clouds, running. */
export interface Cloud {
  place: PlaceOnMap;
  link: Link;
  /** Null while it is dead. */
  program: Program | null;
}

/** How to build a world. */
export interface WorldOptions {
  /** Proxies listen at this port and the two after it, links 80 above, prices 90 above, the servers behind the links 180 above; 0: any. */
  portBase: number;
  /** A folder that exists: data and logs go below it. */
  data: string;
  /** Is told what is being done. */
  onStep(what: string): void;
}

/**
 * What the three accounts have carried earlier this month, in bytes: enough to be past what each cloud gives
 * for free, so that the next byte has a price.
 */
const CARRIED_BEFORE = 500_000_000_000n;
const REACTION = ["--probe-interval", "500", "--sample-interval", "1500", "--price-interval", "500"];

/** Everything that runs. Close it to end it all. */
export class World {
  readonly clouds: Cloud[] = [];
  readonly proxies = new Map<Policy, Program>();
  pricing!: Program;
  readonly peers = new PeerClient();
  readonly #options: WorldOptions;
  #prices = "";
  #closing = false;

  private constructor(options: WorldOptions) {
    this.#options = options;
  }

  /**
   * Starts everything; where one part does not come up, ends the others again.
   * @throws {CdnError} which one did not come up, and why.
   */
  static async start(options: WorldOptions): Promise<World> {
    const world = new World(options);
    try {
      await world.#start();
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** The address of the proxy that goes by a policy. */
  proxyUrl(policy: Policy): string {
    return this.proxies.get(policy)!.url;
  }

  cloud(id: string): Cloud {
    const cloud = this.clouds.find(({ place }) => place.id === id);
    if (!cloud) throw new CdnError(`There is no server "${id}" here`, { source: "server" });
    return cloud;
  }

  /** `kill -9` of a server. */
  async kill(id: string): Promise<void> {
    const cloud = this.cloud(id);
    const { program } = cloud;
    cloud.program = null;
    await program?.kill();
  }

  /** Starts a killed server again, where it was and with what it had on disk. */
  async revive(id: string): Promise<void> {
    const cloud = this.cloud(id);
    cloud.program ??= await this.#startServer(cloud, this.clouds.indexOf(cloud));
  }

  /** Ends every process and every link. */
  async close(): Promise<void> {
    this.#closing = true;
    const programs = [
      ...this.proxies.values(),
      ...this.clouds.flatMap(({ program }) => program ?? []),
      ...(this.pricing ? [this.pricing] : []),
    ];
    await Promise.all(programs.map((program) => program.stop()));
    await Promise.all(this.clouds.map(({ link }) => link.close()));
    if (this.#prices) await Deno.remove(this.#prices, { recursive: true });
  }

  async #start(): Promise<void> {
    const { onStep } = this.#options;
    onStep("three servers, each behind a link like the real one (Skyplane, 2022)");
    for (const [at, place] of places.entries()) {
      this.clouds.push({ place, link: new Link(place.shape, { port: this.#port(80 + at) }), program: null });
    }
    // One after the other: on a bare machine the first one fetches the packages for all of them.
    for (const [at, cloud] of this.clouds.entries()) cloud.program = await this.#startServer(cloud, at);
    onStep("a pricing server with the clouds' list prices");
    // New each time: a price that was changed for trying must not stand when all this is started again.
    this.#prices = await Deno.makeTempDir({ dir: this.#options.data, prefix: "pricing-" });
    this.pricing = await this.#program("pricing", "pricing", 90, ["--data", this.#prices]);
    await this.#reportUsage();
    onStep("three proxies, one for each policy");
    const begun = POLICIES.map(async (policy, at) => {
      // The combined one, as the proxy's default, gets the proxy's usual port.
      const offset = (at + 1) % POLICIES.length;
      const servers = this.clouds.map(({ link }) => link.url).join(",");
      this.proxies.set(
        policy,
        await this.#program(`proxy-${policy}`, "proxy", offset, [
          ...["--server", servers, "--pricing", this.pricing.url, "--policy", policy, "--workers", "1"],
          ...REACTION,
        ]),
      );
    });
    // Where one does not come up, the others are waited for, so that close() ends them.
    await Promise.allSettled(begun);
    await Promise.all(begun);
  }

  async #startServer({ place, link }: Cloud, at: number): Promise<Program> {
    const others = this.clouds.filter((other) => other.link !== link).map((other) => other.link.url);
    const program = await this.#program(place.id, "server", 180 + at, [
      ...["--id", place.id, "--provider", place.provider, "--region", place.region, "--url", link.url],
      ...["--peers", others.join(","), "--data", `${this.#options.data}/${place.id}`],
    ]);
    const { hostname, port } = new URL(program.url);
    link.target = { hostname, port: Number(port) };
    return program;
  }

  #program(name: string, command: string, offset: number, args: string[]): Promise<Program> {
    return Program.start({
      name,
      args: [command, "--listen", `127.0.0.1:${this.#port(offset)}`, ...args],
      logFile: `${this.#options.data}/${name}.log`,
      onLost: (why) => this.#closing || this.#options.onStep(why),
    });
  }

  #port(offset: number): number {
    const { portBase } = this.#options;
    return portBase === 0 ? 0 : portBase + offset;
  }

  async #reportUsage(): Promise<void> {
    const month = new Date().toISOString().slice(0, 7);
    const counts = places.map(({ provider, region, id }) => ({
      place: { provider, region, server: id },
      bytes: CARRIED_BEFORE,
    }));
    const report = create(wire.UsageReportSchema, { reporter: "earlier-this-month", month, counts });
    await this.peers.ask(`${this.pricing.url}/-/v1/usage`, wire.UsageListSchema, {
      question: [wire.UsageReportSchema, report],
    });
  }
}
