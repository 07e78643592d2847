/** Waiting for what happens in its own time: no sleep of a guessed length, no timed assertion. */

/**
 * Asks `condition` again and again until it holds (a truthy value, which is handed back). What it throws
 * counts as "not yet", and is the cause of the error in the end.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  { what = "the condition", deadlineMs = 20_000, everyMs = 20 }: {
    what?: string;
    deadlineMs?: number;
    everyMs?: number;
  } = {},
): Promise<NonNullable<T>> {
  const until = Date.now() + deadlineMs;
  let last: unknown;
  while (true) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= until) {
      const saw = last instanceof Error ? last.message : String(last);
      throw new Error(`${what} did not come about within ${deadlineMs} ms; last: ${saw}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
