/** Chromium with the film open: {@link Player}. */
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { fromFileUrl } from "@std/path";
import type { Evaluated } from "./browser.ts";

/** What does not come by then does not come. */
const DEADLINE_MS = 60_000;

/** One picture as it is seen. */
export interface Picture {
  /** Where in the film it stands, in seconds. */
  at: number;
  /** The second that is read from it. */
  shown: number;
  /** Where the film stood when that was read: while it plays, a later picture may have come. */
  until: number;
}

/** A viewer; page.html says what each method means. One at a time. Disposing closes the browser. */
export class Player implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor() {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", fromFileUrl(new URL("browser.ts", import.meta.url))],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Opens a page whose film is at /film.mp4 of the same server. */
  static async open(url: string): Promise<Player> {
    await using stack = new AsyncDisposableStack();
    const player = stack.use(new Player());
    assertEquals(await player.#evaluate(url), 200);
    stack.move();
    return player;
  }

  seek(second: number): Promise<Picture> {
    return this.#evaluate(`seek(${second})`);
  }

  seen(second: number): Promise<Picture> {
    return this.#evaluate(`seen(${second})`);
  }

  async play(times: number): Promise<void> {
    await this.#evaluate(`play(${times})`);
  }

  buffered(): Promise<number> {
    return this.#evaluate("buffered()");
  }

  async #evaluate<T>(line: string): Promise<T> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await deadline(this.#output.read(), DEADLINE_MS);
      if (done) throw new Error(`The browser ended at ${line}`);
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const evaluated: Evaluated = JSON.parse(this.#rest.slice(0, end));
    this.#rest = this.#rest.slice(end + 1);
    if ("error" in evaluated) throw new Error(`${line}: ${evaluated.error}`);
    return evaluated.value as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#output.cancel().catch(() => {});
    await this.#child.status;
  }
}
