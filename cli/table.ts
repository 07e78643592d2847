/** Rows in columns, and figures in words. */

/**
 * Rows under a head (none where it is empty), in columns as wide as their widest cell; a column whose head begins with
 * ">" leans right.
 */
export function columns(head: string[], rows: string[][], gap = "  "): string[] {
  const right = head.map((cell) => cell.startsWith(">"));
  const all = head.length > 0 ? [head.map((cell) => cell.replace(/^>/, "")), ...rows] : rows;
  const widths: number[] = [];
  for (const row of all) {
    row.forEach((cell, at) => widths[at] = Math.max(widths[at] ?? 0, stripAnsiCode(cell).length));
  }
  return all.map((row) =>
    row.map((cell, at) => {
      const blank = " ".repeat(widths[at]! - stripAnsiCode(cell).length);
      return right[at] ? blank + cell : cell + blank;
    }).join(gap).trimEnd()
  );
}

/** A text without colours. */
export function stripAnsiCode(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\x1b\[[0-9;]*m/g, "");
}

/** `1 object`, `1,234 objects`. */
export function countText(count: number | bigint, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${Number(count) === 1 ? one : many}`;
}

/** How long something takes or is ago, in its two largest units: `8 s`, `5 min`, `3 h 20 min`, `12 d`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}
