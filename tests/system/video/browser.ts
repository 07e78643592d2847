/**
 * Drives Chromium through one page: opens the URL on the first line of standard input, evaluates each further line
 * there, and prints what came of each as a line of JSON; whoever writes a line waits for that before the next. A program of its own, for the reason that ../browser.ts gives.
 *
 *     deno run -A tests/system/video/browser.ts
 */
import { launchChromium } from "../browser.ts";

/** What came of one line: its value (of the first: the status), or the message of its error. */
export type Evaluated = { value: unknown } | { error: string };

if (import.meta.main) {
  const browser = await launchChromium();
  const page = await browser.newPage();
  const open = async (url: string) => (await page.goto(url))!.status();
  const print = (evaluated: Evaluated) => console.log(JSON.stringify(evaluated));
  let run: (line: string) => Promise<unknown> = open;
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      // Not waited for here: at the end of the input the browser ends, whatever its page is at.
      run(line).then((value) => print({ value: value ?? null }), (error: Error) => print({ error: error.message }));
      run = (expression) => page.evaluate(expression);
    }
  }
  await browser.close();
}
