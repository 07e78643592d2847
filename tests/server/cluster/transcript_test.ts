/** Plays the transcripts of `tests/cases`; with METACDN_REWRITE=1 it writes their outcomes anew. */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { formatVersion, type Version } from "../../../proto/mod.ts";
import { memoryStore } from "../../../server/store/mod.ts";
import { Node, until, untilJoined } from "./node.ts";

const folder = fromFileUrl(new URL("../../cases/", import.meta.url));

/** One server of a story. */
interface Actor {
  node: Node;
  running: boolean;
  cut: boolean;
}

class Story implements AsyncDisposable {
  readonly #actors = new Map<string, Actor>();
  #line = 0;
  readonly #startMs = Date.now();

  /** Does what the line says, waits for rest, and says what everybody holds. */
  async play(line: string): Promise<string> {
    this.#line++;
    const [command = "", ...words] = line.split(/\s+/);
    const act = this.#commands[command];
    if (!act) throw new TypeError(`unknown command in "${line}"`);
    await act(words);
    await until(`rest after "${line}"`, () => this.#atRest());
    return await this.#told();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { node, running } of this.#actors.values()) {
      if (running) await node.stop();
      await Deno.remove(node.folder, { recursive: true }).catch(() => {});
    }
  }

  readonly #commands: Record<string, (words: string[]) => unknown> = {
    start: async (ids) => {
      const first = ids[0]!;
      for (const id of ids) await this.#begin(id, {}, id === first ? [] : [this.#at(first).node.url]);
      await untilJoined(...ids.map((id) => this.#at(id).node));
    },
    put: ([id, path, text]) => this.#at(id!).node.put(path!, text!, this.#stamp(id!)),
    delete: ([id, path]) => this.#at(id!).node.remove(path!, this.#stamp(id!)),
    cut: (ids) => ids.forEach((id) => this.#at(id).cut = true),
    heal: (ids) => ids.forEach((id) => this.#at(id).cut = false),
    stop: async ([id]) => {
      this.#at(id!).running = false;
      await this.#at(id!).node.stop();
    },
    restart: async ([id]) => {
      const others = [...this.#actors.values()].filter(({ running }) => running);
      await this.#at(id!).node.start(others.map(({ node }) => node.url)); // as its --peers
      this.#at(id!).running = true;
    },
    wipe: async ([id]) => {
      const { node } = this.#at(id!);
      await Deno.remove(node.folder, { recursive: true });
      await this.#begin(id!, { store: memoryStore() }, []);
    },
    remove: ([by, id]) => this.#at(by!).node.cluster.removeServer(id!),
    add: ([by, id]) => this.#at(by!).node.cluster.addServer(this.#at(id!).node.url),
  };

  #at(id: string): Actor {
    const actor = this.#actors.get(id);
    if (!actor) throw new TypeError(`there is no server ${id}`);
    return actor;
  }

  async #begin(id: string, { store = memoryStore() }, peers: string[]): Promise<void> {
    const isCut = () => this.#actors.get(id)?.cut ?? false;
    const node = new Node(id, {
      store,
      fault: (_, answer) => isCut() ? new Response("cut", { status: 503 }) : answer(),
      fetch: (...given) => isCut() ? Promise.reject(new TypeError("cut")) : fetch(...given),
    });
    this.#actors.set(id, { node, running: false, cut: false });
    await node.start(peers);
    this.#actors.get(id)!.running = true;
  }

  /** Later than those of all lines before, and not by the machine's clock: stories end in the same way always. */
  #stamp(server: string): Version {
    return { wallMs: this.#startMs + this.#line * 100, counter: 0, server };
  }

  /** Those that can reach each other hold the same and know it, and everybody knows who cannot be reached. */
  async #atRest(): Promise<boolean> {
    const up = (id: string) => this.#at(id).running && !this.#at(id).cut;
    for (const [id, { node, running, cut }] of this.#actors) {
      if (!running) continue;
      for (const other of node.ids().filter((name) => name !== id)) {
        const peer = this.#at(other);
        const mutual = peer.running && peer.node.ids().includes(id);
        const { state, lagObjects } = node.health(other)!;
        if (cut || !up(other) || !mutual) {
          if (state === "alive" || state === "suspect" || state === "unknown") return false;
        } else {
          if (state !== "alive" || lagObjects !== 0n || node.ids().join() !== peer.node.ids().join()) return false;
          if (await held(node) !== await held(peer.node)) return false;
        }
      }
    }
    return true;
  }

  /** `n1 n2: /a=v2; n3 (cut off): /a=v1`, with the list that a server has where it is not everybody. */
  async #told(): Promise<string> {
    const everybody = [...this.#actors.keys()].sort().join(" ");
    const groups = new Map<string, string[]>();
    for (const [id, { node, running, cut }] of this.#actors) {
      const list = node.ids().join(" ");
      const notes = !running ? ["stopped"] : [cut && "cut off", list !== everybody && `knows ${list}`].filter(Boolean);
      const text = `${notes.length > 0 ? ` (${notes.join(", ")})` : ""}: ${await told(node)}`;
      groups.set(text, [...(groups.get(text) ?? []), id]);
    }
    return [...groups].map(([text, ids]) => `${ids.join(" ")}${text}`).join("; ");
  }
}

/** What a server holds, with its versions: two that hold the same give the same. */
async function held(node: Node): Promise<string> {
  const { entries } = await node.store.list({ by: "path", limit: 100, tombstones: true });
  return entries.map(({ manifest }) => `${manifest.path} ${formatVersion(manifest.version)}`).join();
}

async function told(node: Node): Promise<string> {
  const { entries } = await node.store.list({ by: "path", limit: 100 });
  const texts = entries.map(async ({ manifest: { path } }) => `${path}=${await node.text(path)}`);
  return (await Promise.all(texts)).join(" ") || "nothing";
}

async function playAll(text: string): Promise<string> {
  await using story = new Story();
  const told: string[] = [];
  for (const line of text.trimEnd().split("\n")) {
    const command = line.split(" -> ")[0]!.trim();
    if (command === "" || command.startsWith("#")) told.push(line);
    else told.push(`${command.padEnd(22)} -> ${await story.play(command)}`);
  }
  return told.join("\n") + "\n";
}

for (const { name } of Deno.readDirSync(folder)) {
  if (!name.endsWith(".txt")) continue;
  Deno.test(`transcript ${name}`, async () => {
    const file = `${folder}${name}`;
    const text = await Deno.readTextFile(file);
    const played = await playAll(text);
    if (Deno.env.get("METACDN_REWRITE") === "1") await Deno.writeTextFile(file, played);
    else assertEquals(played, text);
  });
}
