/**
 * Drives Chromium for a test: opens each URL given, and prints one JSON line for each. A program of its own,
 * because playwright looks into /proc, which Deno allows to a program with all permissions only.
 *
 *     deno run -A tests/system/browser.ts PROXY|- URL…
 */
import { createHash } from "node:crypto";
import { type Browser, chromium } from "playwright-core";

/** What the browser saw of one URL. */
export interface Seen {
  status: number;
  route: string;
  /** Of the body as the browser read it. */
  sha256: string;
  /** Width and height of the picture shown; null where none is. */
  picture: [number, number] | null;
  text: string;
}

/** Starts Chromium, which then talks to nobody but those whom a page names. */
export function launchChromium(proxy: string | null = null): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    // Chromium passes loopback by its proxy unless told otherwise.
    ...(proxy !== null && { proxy: { server: proxy, bypass: "<-loopback>" } }),
  });
}

if (import.meta.main) {
  const [proxy = "-", ...urls] = Deno.args;
  const browser = await launchChromium(proxy === "-" ? null : proxy);
  const page = await browser.newPage();
  for (const url of urls) {
    const answer = (await page.goto(url))!;
    const seen: Seen = {
      status: answer.status(),
      route: answer.headers()["metacdn-route"] ?? "",
      sha256: createHash("sha256").update(await answer.body()).digest("hex"),
      picture: await page.evaluate("((i) => i ? [i.naturalWidth, i.naturalHeight] : null)(document.images[0])"),
      text: await page.evaluate("document.body.innerText"),
    };
    console.log(JSON.stringify(seen));
  }
  await browser.close();
}
