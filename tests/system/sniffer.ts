/** Somebody on the wire: records what goes over loopback to and from some ports (tshark; as root). */
import { eventually } from "../kit/mod.ts";
import { has } from "./clients.ts";

/** True where it can be done here. */
export const canSniff = () => has("tshark") && Deno.build.os === "linux" && Deno.uid() === 0;

/** A recording under way. */
export class Sniffer implements AsyncDisposable {
  readonly #file: string;
  readonly #child: Deno.ChildProcess;

  private constructor(file: string, ports: readonly string[]) {
    this.#file = file;
    const filter = ports.map((port) => `tcp port ${port}`).join(" or ");
    this.#child = new Deno.Command("tshark", {
      args: ["-q", "-i", "lo", "-f", filter, "-F", "pcap", "-w", file],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  /** Resolves when something was recorded: there must be traffic. */
  static async start(file: string, urls: readonly string[]): Promise<Sniffer> {
    await using stack = new AsyncDisposableStack();
    const sniffer = stack.use(new Sniffer(file, urls.map((url) => new URL(url).port)));
    await eventually(() => sniffer.size() > 1000, { what: "packets in tshark's file", deadlineMs: 60_000 });
    stack.move();
    return sniffer;
  }

  /** Bytes so far. */
  size(): number {
    return Deno.statSync(this.#file).size;
  }

  /** So much more traffic. */
  async more(bytes: number): Promise<void> {
    const until = this.size() + bytes;
    await eventually(() => this.size() > until, { what: "more packets", deadlineMs: 60_000 });
  }

  /** Ends it: all that was seen, a character a byte. */
  async stop(): Promise<string> {
    await this[Symbol.asyncDispose]();
    return new TextDecoder("latin1").decode(await Deno.readFile(this.#file));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGINT");
    } catch { /* it has ended */ }
    await this.#child.status;
  }
}
