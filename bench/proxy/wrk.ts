/** One run of wrk, the load generator. */

/** What it found. */
export interface Load {
  perSecond: number;
  /** How many there were in all. */
  requests: number;
  p50Ms: number;
  p99Ms: number;
}

/**
 * Asks for a URL on 32 connections, unless told otherwise.
 * @param options.script in Lua: which request is next
 * @throws {Error} where an answer was not a success: a fast 502 must not win
 */
export async function load(
  url: string,
  { seconds, connections = 32, headers = [], script }: {
    seconds: number;
    connections?: number;
    headers?: string[];
    script?: string;
  },
): Promise<Load> {
  const file = script === undefined ? null : await Deno.makeTempFile({ suffix: ".lua" });
  if (file) await Deno.writeTextFile(file, script!);
  const { stdout } = await new Deno.Command("wrk", {
    args: [
      "-t1",
      `-c${connections}`,
      `-d${seconds}s`,
      "--latency",
      "--timeout",
      "30s",
      ...headers.flatMap((header) => ["-H", header]),
      ...(file ? ["-s", file] : []),
      url,
    ],
  }).output();
  if (file) await Deno.remove(file);
  const text = new TextDecoder().decode(stdout);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  if (!perSecond || /Non-2xx|Socket errors/.test(text)) throw new Error(`wrk ${url}:\n${text}`);
  const requests = Number(/(\d+) requests in/.exec(text)?.[1]);
  return { perSecond, requests, p50Ms: latency(text, 50), p99Ms: latency(text, 99) };
}

function latency(text: string, percent: number): number {
  const match = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(text);
  return Number(match?.[1]) * ({ us: 0.001, ms: 1, s: 1000 }[match?.[2] ?? "ms"] ?? NaN);
}
