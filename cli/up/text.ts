/** Figures and rows as people read them. */
export { columns, stripAnsiCode } from "../table.ts";

/** `15 ms`, `1.25 s`. */
export function msText(ms: number): string {
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** `9.2 MB/s`, `250 kB/s` (decimal units, as links are sold). */
export function rateText(bytesPerSecond: number): string {
  return `${sizeText(bytesPerSecond)}/s`;
}

/** `440 kB`, `33.6 MB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1e3) return `${Math.round(bytes)} B`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : bytes < 1e9 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** Nano-dollars a GB as `$0.0870`. */
export function gbPriceText(nanoPerGb: number): string {
  return `$${(nanoPerGb / 1e9).toFixed(4)}`;
}

/** A text in lines of at most `width`, broken at spaces. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
