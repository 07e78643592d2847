/** A simulated machine: a disk, a clock and a plug. Its process comes and goes. */
import type { Logger } from "../../runtime/log.ts";
import { diskLedger } from "./ledger.ts";
import { DiskPartials } from "./partials.ts";
import { DiskStore } from "./disk_store.ts";
import { fakeKeys } from "./keys.ts";
import { Life, MachineClock } from "./life.ts";
import type { Net, Station } from "./network.ts";
import { type DiskFaults, Platter } from "./platter.ts";
import { chance, type Random, stream } from "./prng.ts";
import type { Boot, Host, Place, Process } from "./process.ts";
import type { World } from "./world.ts";

/** How often a disk is read over. */
const SCRUB_MS = 30_000;

/** What a machine is made from. */
export interface MachineOptions {
  world: World;
  net: Net;
  seed: number;
  id: string;
  place: Place;
  minCopies: number;
  /** URLs of all machines, its own among them. */
  peers: string[];
  boot: Boot;
  disk: DiskFaults;
  log: (line: string) => void;
  gaveUp: (machine: string, path: string, version: string) => void;
}

/** One machine. */
export class Machine {
  readonly id: string;
  readonly url: string;
  readonly clock: MachineClock;
  readonly platter: Platter;
  /** Its disk and itself are lost for ever. */
  isGone = false;
  readonly #options: MachineOptions;
  readonly #station: Station;
  readonly #random: Random;
  #life: Life | null = null;
  #boots = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
    const { world, net, seed, id, disk } = options;
    this.id = id;
    this.url = urlOf(id);
    this.clock = new MachineClock(world);
    this.platter = new Platter(disk, () => world.nowMs);
    this.platter.onCrash = () => this.crash("in the middle of a write");
    this.#random = stream(seed, `crashes of ${id}`);
    this.#station = { id, process: null, refuses: false };
    net.add(this.url, this.#station);
  }

  /** The running process, once it has started; null while there is none. */
  get process(): Process | null {
    return this.#station.process?.answers ?? null;
  }

  /** Plugs it in and starts the process; nothing happens where one runs, or the machine is gone. */
  start(): void {
    if (this.#life || this.isGone) return;
    const { world, net, seed, id, place, peers, minCopies, boot, log, gaveUp } = this.#options;
    const life = this.#life = new Life(world, this.clock);
    const name = `${id} run ${++this.#boots}`;
    const disk = stream(seed, `${name} disk`);
    const store = new DiskStore(this.platter, life, disk);
    const now = () => this.clock.now();
    const host: Host = {
      id,
      url: this.url,
      place,
      peers: peers.filter((url) => url !== this.url),
      minCopies,
      store,
      ledger: diskLedger(this.platter),
      partials: new DiskPartials(this.platter, life, disk),
      keys: fakeKeys(id),
      network: net.port(id, life),
      now,
      random: stream(seed, name),
      schedule: life.schedule,
      log: logTo(log),
      gaveUp: (path, version) => life.alive && gaveUp(id, path, version),
    };
    this.#station.refuses = true;
    log(`starts${this.#boots > 1 ? ` (run ${this.#boots})` : ""}`);
    boot(host).then((answers) => {
      if (!life.alive) return;
      this.#station.process = { life, answers };
      const scrub = () => {
        store.scrub();
        life.schedule(scrub, SCRUB_MS);
      };
      life.schedule(scrub, SCRUB_MS);
    }, (error) => world.fail(error));
  }

  /** The process is dead at once, the disk has what it had. Nothing happens where there is no process. */
  crash(why: string): void {
    if (!this.#life) return;
    this.#options.log(`crashes ${why}`);
    this.#stop(chance(this.#random, 0.5));
    this.platter.crash(this.#random);
  }

  /** The process ends in order, and the machine stays on. */
  async close(): Promise<void> {
    const { process } = this;
    const life = this.#life;
    if (!process || !life) return;
    this.#options.log("closes");
    this.#station.process = null;
    await process.close();
    if (this.#life === life) this.#stop(true);
  }

  /** Dead, and its disk with it. */
  lose(): void {
    this.isGone = true;
    this.#options.log("is gone for ever");
    if (this.#life) this.#stop(false);
    this.platter.wipe();
  }

  #stop(refuses: boolean): void {
    this.#life?.end();
    this.#life = null;
    this.#station.process = null;
    this.#station.refuses = refuses;
  }
}

/** Where a machine is reached. */
export function urlOf(id: string): string {
  return `http://${id}.example:8080`;
}

function logTo(log: (line: string) => void): Logger {
  const at = (level: string) => (message: string, fields: Record<string, unknown> = {}) => {
    const told = Object.entries(fields).map(([name, value]) =>
      ` ${name}=${value instanceof Error ? value.message : value}`
    );
    log(`${level}: ${message}${told.join("")}`);
  };
  return { debug() {}, info: at("info"), warn: at("warn"), error: at("error") };
}
