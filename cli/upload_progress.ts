/** Progress on standard error: a live line on a terminal, now and then a line elsewhere. */
import { printable, progressLine, Rate, type UploadProgress } from "../upload/mod.ts";

/** A live line is drawn at most this often, in milliseconds. */
const DRAW_MS = 100;
/** Elsewhere, a line is written this often. */
const LINE_MS = 10_000;

/** The progress of one file. */
export interface Progress {
  /** The upload got further. */
  show(progress: UploadProgress): void;
  /** Something to know meanwhile, such as that it is tried again. */
  note(text: string): void;
  /** Nothing follows: clears the live line. */
  end(): void;
}

/** Shows the progress of one file. */
export function createProgress(
  name: string,
  { quiet, now = Date.now }: { quiet: boolean; now?: () => number },
): Progress {
  if (quiet) return { show() {}, note() {}, end() {} };
  const live = Deno.stderr.isTerminal();
  const rate = new Rate();
  const begun = now();
  let drawnAt = live ? -Infinity : begun;
  let phase = "";
  let shown = false;
  const clear = () => {
    if (shown) write("\r\x1b[K");
    shown = false;
  };
  return {
    show(progress) {
      const at = now();
      if (progress.phase === "sending") rate.add(progress.bytes, at);
      if (at - drawnAt < (live ? DRAW_MS : LINE_MS) && (progress.phase === phase || !live)) return;
      [drawnAt, phase] = [at, progress.phase];
      const line = progressLine(name, progress, {
        perSecond: rate.perSecond,
        secondsLeft: progress.size === null ? null : rate.secondsLeft(progress.size),
        width: live ? width() - 1 : 100,
      });
      write(live ? `\r\x1b[K${line}` : `${line}\n`);
      shown = live;
    },
    note(text) {
      clear();
      write(`metacdn upload: ${printable(name)}: ${printable(text)}\n`);
      drawnAt = live ? -Infinity : drawnAt;
    },
    end: clear,
  };
}

function width(): number {
  try {
    const { columns } = Deno.consoleSize();
    return columns >= 20 ? columns : 80;
  } catch {
    return 80;
  }
}

/** A terminal that is gone is no reason to end the upload. */
function write(text: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  } catch { /* see above */ }
}
