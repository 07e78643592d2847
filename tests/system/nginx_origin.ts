/** nginx as an origin over TLS, which can be stopped, reloaded and started again at the same address. */
import { join } from "@std/path";
import { eventually, freePorts } from "../kit/mod.ts";

/** What it serves, and by which certificate. */
export interface NginxOptions {
  /** Of its own, absolute. */
  folder: string;
  root: string;
  cert: string;
  key: string;
  /** Sent in X-Origin. */
  name: string;
}

/** One nginx on loopback. Disposing ends it. */
export class NginxOrigin implements AsyncDisposable {
  readonly #folder: string;
  readonly #port: number;
  #child: Deno.ChildProcess | null = null;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  static async start({ folder, root, cert, key, name }: NginxOptions): Promise<NginxOrigin> {
    await Deno.mkdir(folder, { recursive: true });
    const origin = new NginxOrigin(folder, freePorts(1)[0]!);
    await Deno.writeTextFile(join(folder, "cert.pem"), cert);
    await Deno.writeTextFile(join(folder, "key.pem"), key);
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${folder}/${of};`);
    await Deno.writeTextFile(
      join(folder, "nginx.conf"),
      `daemon off; worker_processes 2; pid ${folder}/pid; error_log ${folder}/error.log;
      ${Deno.uid() === 0 ? "user root;" : ""}
      events { worker_connections 256; }
      http {
        access_log ${folder}/access.log; ${paths.join(" ")}
        server {
          listen 127.0.0.1:${origin.#port} ssl;
          ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
          add_header X-Origin ${name} always;
          location / { root ${root}; }
          location = /busy { return 503; }
          location = /moved { return 302 https://169.254.169.254/latest/meta-data/; }
        }
      }`,
    );
    await origin.start();
    return origin;
  }

  /** Starts it, again where it was stopped; resolves when it takes connections. */
  async start(): Promise<void> {
    this.#child = new Deno.Command("nginx", {
      args: ["-c", `${this.#folder}/nginx.conf`, "-e", `${this.#folder}/error.log`],
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const connected = async () => {
      (await Deno.connect({ hostname: "127.0.0.1", port: this.#port })).close();
      return true;
    };
    await eventually(connected, { what: "nginx that listens" });
  }

  /** New workers take over; the old ones end what they have begun. */
  reload(): void {
    this.#child!.kill("SIGHUP");
  }

  /** Ends it at once, whatever it is sending. */
  async stop(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.status;
    this.#child = null;
  }

  /** The request lines that it has logged. */
  async asked(): Promise<string[]> {
    const log = await Deno.readTextFile(join(this.#folder, "access.log"));
    return [...log.matchAll(/"([^"]*)" \d{3} /g)].map(([, line]) => line!);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
