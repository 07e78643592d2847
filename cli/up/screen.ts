/**
 * Where `up` speaks: lines that scroll by, and on a terminal a block below them that is redrawn in place.
 * Elsewhere (a pipe, a log of CI) there are only the lines.
 */
import { CdnError } from "../../proto/mod.ts";
import { stripAnsiCode } from "./text.ts";

/** What a {@link Screen} writes to. */
export interface ScreenOptions {
  /** False: no block, and nothing is ever taken back. */
  terminal?: boolean;
  write?: (text: string) => void;
  columns?: () => number;
}

const CLEAR_BELOW = "\x1b[0J";
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** Lines above, a live block below. Close it, so that the cursor comes back. */
export class Screen {
  readonly terminal: boolean;
  readonly #write: (text: string) => void;
  readonly #columns: () => number;
  #block: string[] = [];
  /** How many rows of the block stand on the terminal now. */
  #drawn = 0;
  #closed = false;

  constructor(
    { terminal = Deno.stdout.isTerminal(), write = writeOut, columns = terminalColumns }: ScreenOptions = {},
  ) {
    this.terminal = terminal;
    this.#write = write;
    this.#columns = columns;
    if (terminal) write(HIDE_CURSOR);
  }

  get columns(): number {
    return this.#columns();
  }

  /** Writes lines that stay. */
  line(...lines: string[]): void {
    if (this.#closed) return;
    const text = lines.map((line) => `${line}\n`).join("");
    this.#write(this.terminal ? this.#erase() + text + this.#draw() : text);
  }

  /** Sets the block; an empty list takes it away. */
  block(lines: string[]): void {
    if (!this.terminal || this.#closed) return;
    this.#block = lines;
    this.#write(this.#erase() + this.#draw());
  }

  /** Leaves the last block standing and gives the cursor back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.terminal) this.#write(SHOW_CURSOR);
  }

  #erase(): string {
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A\r${CLEAR_BELOW}` : "";
    this.#drawn = 0;
    return up;
  }

  #draw(): string {
    const columns = this.#columns();
    this.#drawn = this.#block.length;
    return this.#block.map((line) => `${fitted(line, columns - 1)}\n`).join("");
  }
}

/** A row that would wrap would not be counted: it is cut. Colours of a cut row are dropped. */
function fitted(line: string, columns: number): string {
  const plain = stripAnsiCode(line);
  return plain.length <= columns ? line : `${plain.slice(0, columns - 1)}…`;
}

/** @throws {CdnError} where nobody reads any more (`metacdn up | head`) */
function writeOut(text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch (cause) {
    throw new CdnError(`Cannot write to standard output: ${(cause as Error).message}`, { source: "server", cause });
  }
}

function terminalColumns(): number {
  try {
    return Math.max(40, Deno.consoleSize().columns);
  } catch {
    return 80;
  }
}
