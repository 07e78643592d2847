/** `metacdn up`: the whole meta-CDN on this machine, and scenarios that show it at work. */
import { dim, setColorEnabled } from "@std/fmt/colors";
import { CdnError } from "../../proto/mod.ts";
import { numberFlag, parseCommand, stringFlag, switchFlag } from "../../runtime/flags.ts";
import { aborted, stopSignal } from "../../runtime/stop.ts";
import type { Command } from "../command.ts";
import { explain } from "./ask.ts";
import { ownFile, type Source, sources } from "./files.ts";
import { playAll, scenarios, type Stage, type Uploaded } from "./scenarios.ts";
import { Screen } from "./screen.ts";
import { type Explanations, heading, table } from "./table.ts";
import { wrapped } from "./text.ts";
import { tour } from "./tour.ts";
import { uploadEverywhere } from "./upload_everywhere.ts";
import { POLICIES, World } from "./world.ts";

/** How long a scenario waits for the measurements to move a choice. */
const PATIENCE_MS = 60_000;
const REDRAW_MS = 500;

const flags = {
  once: switchFlag("play the scenarios and end: 0 where all of them went as they should, else 1"),
  data: stringFlag(
    "DIR",
    null,
    "where the servers keep their files; with --once a folder that is removed at the end, unless given",
    { fallbackText: "./.metacdn/up" },
  ),
  "port-base": numberFlag(
    "N",
    8000,
    "proxies listen at N, N+1, N+2, servers at N+80… (behind their links at N+180…), prices at N+90; 0: any free ports",
    { most: 65_000 },
  ),
};

/** Runs until Ctrl-C, or with `--once` until the scenarios have been played; resolves to the exit status. */
export const up: Command = async (argv, input) => {
  const command = parseCommand(
    {
      name: "up",
      summary:
        "The whole meta-CDN on this machine: three servers posing as three clouds, each behind a link as long\n" +
        "as the real one, a pricing server, and a proxy for each policy; then scenarios that show it at work.",
      flags,
      positional: { placeholder: "[FILE…]", least: 0 },
      examples: [
        ["metacdn up", "with a picture that it makes; Ctrl-C ends it"],
        ["metacdn up photo.jpg", "with your photograph"],
        ["metacdn up --once", "play the scenarios and end, as in CI"],
      ],
      notes: ["Everything listens on 127.0.0.1 only, without a token."],
    },
    argv,
    input,
  );
  if (command.help !== null) {
    console.log(command.help);
    return 0;
  }
  const { once, data: folder, "port-base": portBase } = command.flags;
  const files = await sources(command.args);
  const signal = stopSignal({ supervised: input.env("METACDN_SUPERVISED") === "1" });
  const data = await dataFolder(folder, once);
  const screen = new Screen();
  setColorEnabled(screen.terminal && !Deno.noColor);
  try {
    return await show({ files, data: data.path, portBase, once, screen, signal });
  } catch (error) {
    // Ctrl-C ends our children too, so that whatever was under way fails: that is no failure.
    if (!signal.aborted) throw error;
    return once ? 130 : 0;
  } finally {
    screen.close();
    await data.remove();
  }
};

interface Show {
  files: Source[];
  data: string;
  portBase: number;
  once: boolean;
  screen: Screen;
  signal: AbortSignal;
}

async function show({ files, data, portBase, once, screen, signal }: Show): Promise<number> {
  screen.line(heading("metacdn: a meta-CDN on this machine"), "");
  const onStep = (what: string) => screen.line(`   ${what}`);
  const world = await World.start({ portBase, data, onStep });
  const view = new View(world, screen);
  try {
    signal.throwIfAborted();
    const status = (what: string) => view.status(what);
    const send = (source: Source) => uploadEverywhere(world, source, { signal, onStep, status });
    const sent: Uploaded[] = [];
    for (const source of files) sent.push(await send(source));
    const photo = sent.find(({ bytes }) => bytes <= SHORT_BYTES) ?? await send(await ownFile(data, "picture"));
    const film = sent.find(({ bytes }) => bytes >= LONG_BYTES) ?? await send(await ownFile(data, "film"));
    screen.line("", `listening ${world.proxyUrl("combined")}`);
    view.follow(photo.path);
    const stage: Stage = {
      world,
      photo,
      film,
      signal,
      patienceMs: PATIENCE_MS,
      tell: (line) => screen.line(line),
      row: (label, what, why) => screen.line(...outcome(screen, label, what, why)),
      status: (what) => view.status(what),
    };
    const failed = await playAll(stage);
    screen.line("");
    if (!screen.terminal) screen.line(...await view.table(), "");
    screen.line(`${scenarios.length - failed} of ${scenarios.length} scenarios went as they should`);
    if (once) return failed ? 1 : 0;
    screen.line("", ...tour(world, photo.path), "");
    view.status("Ctrl-C ends it");
    await aborted(signal);
    return 0;
  } finally {
    view.status("ending");
    await view.close();
    await world.close();
    screen.block([]);
  }
}

/** A file up to this size is asked for again and again; where all are larger, a picture of our own is. */
const SHORT_BYTES = 24_000_000;
/** From this size on a download takes long enough that something can happen in the middle. */
const LONG_BYTES = 16 << 20;

/** A row of an outcome: one line in a log; on a terminal the words behind it go below, in lines that fit. */
function outcome({ terminal, columns }: Screen, label: string, what: string, why: string): string[] {
  const head = `   ${label.padEnd(9)} ${what}`;
  if (!terminal) return [`${head}  ${why}`];
  return [head, ...wrapped(why, Math.min(columns, 100) - 16).map((line) => dim(`${" ".repeat(13)}${line}`))];
}

/** The live block: the table, and what is being waited for. */
class View {
  #path = "";
  #status = "";
  #known: Explanations = new Map();
  #stopped = false;
  #following: Promise<void> = Promise.resolve();
  #endPause = () => {};

  constructor(readonly world: World, readonly screen: Screen) {}

  /** Begins to show where a path would come from. */
  follow(path: string): void {
    this.#path = path;
    if (this.screen.terminal) this.#following = this.#follow();
  }

  status(what: string): void {
    this.#status = what;
    this.#draw();
  }

  /** The table as it is now. */
  async table(): Promise<string[]> {
    await this.#look();
    return table(this.world, this.#known, this.#path);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#endPause();
    await this.#following;
  }

  async #follow(): Promise<void> {
    while (!this.#stopped) {
      await this.#look();
      this.#draw();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, REDRAW_MS);
        this.#endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async #look(): Promise<void> {
    const answers = await Promise.all(POLICIES.map(async (policy) => {
      try {
        return [[policy, await explain(this.world.peers, this.world.proxyUrl(policy), this.#path)] as const];
      } catch {
        // A proxy that does not answer at the moment shows as such.
        return [];
      }
    }));
    this.#known = new Map(answers.flat());
  }

  #draw(): void {
    const rows = this.#path ? ["", ...table(this.world, this.#known, this.#path)] : [];
    this.screen.block([...rows, "", dim(`  ${this.#status}`)]);
  }
}

async function dataFolder(given: string | null, once: boolean): Promise<{ path: string; remove(): Promise<void> }> {
  try {
    if (given === null && once) {
      const path = await Deno.makeTempDir({ prefix: "metacdn-up-" });
      return { path, remove: () => Deno.remove(path, { recursive: true }) };
    }
    const path = given ?? ".metacdn/up";
    await Deno.mkdir(path, { recursive: true });
    return { path, remove: async () => {} };
  } catch (cause) {
    throw new CdnError(`Cannot make the data folder: ${(cause as Error).message}`, { source: "server", cause });
  }
}
