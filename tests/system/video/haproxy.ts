/** haproxy as the one address of several edges. */
import { join } from "@std/path";
import { eventually, freePorts } from "../../kit/mod.ts";

/** Hands requests to those of its edges that are ready, in turn. Disposing ends it. */
export class Haproxy implements AsyncDisposable {
  private constructor(readonly url: string, readonly child: Deno.ChildProcess) {}

  /**
   * Starts it; resolves when it takes connections.
   * @param folder for its configuration
   * @param edges their URLs
   */
  static async start(folder: string, edges: readonly string[]): Promise<Haproxy> {
    const address = `127.0.0.1:${freePorts(1)[0]!}`;
    const file = join(folder, "haproxy.cfg");
    const servers = edges.map((url, at) => `server edge${at} ${new URL(url).host} check inter 500ms fall 1`);
    const lines = [
      "defaults",
      "mode http",
      "balance roundrobin",
      "retries 3",
      "option redispatch 1",
      "retry-on conn-failure empty-response",
      "timeout connect 2s",
      "timeout client 60s",
      "timeout server 60s",
      "listen vip",
      `bind ${address}`,
      "option httpchk GET /-/readyz",
      ...servers,
    ];
    await Deno.writeTextFile(file, lines.map((line) => `${line}\n`).join(""));
    const child = new Deno.Command("haproxy", { args: ["-db", "-q", "-f", file], stdout: "null" })
      .spawn();
    const haproxy = new Haproxy(`http://${address}`, child);
    await eventually(async () => {
      const answer = await fetch(`${haproxy.url}/-/readyz`);
      await answer.body?.cancel();
      return answer.ok;
    }, { what: "haproxy that reaches an edge" });
    return haproxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGTERM");
    } catch { /* it ended by itself */ }
    await this.child.status;
  }
}
