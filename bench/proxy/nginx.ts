/** nginx in a folder of its own: as the origin that serves files, or as the proxy to be compared with. */
import { freePort, untilItAnswers } from "./ports.ts";

/** A program that was started; disposing ends it. */
export interface Running extends AsyncDisposable {
  url: string;
  /** Its processes, those that they have started included in what they use. */
  pids: number[];
}

/** Starts nginx with two workers: with `root` it serves files, with `upstream` it passes requests on, kept alive. */
export async function startNginx(
  folder: string,
  { root, upstream }: { root?: string; upstream?: string },
): Promise<Running> {
  await Deno.mkdir(folder, { recursive: true });
  const port = freePort();
  const location = upstream
    ? 'proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";'
    : `root ${root};`;
  const config = `
    daemon off; worker_processes 2; pid ${folder}/pid; error_log ${folder}/error.log;
    events { worker_connections 1024; }
    http {
      access_log off; default_type application/json; sendfile on; tcp_nopush on; keepalive_requests 1000000; etag on;
      client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
      uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
      ${
    upstream ? `upstream origin { server ${new URL(upstream).host}; keepalive 64; keepalive_requests 1000000; }` : ""
  }
      server { listen 127.0.0.1:${port} reuseport; location / { ${location} } }
    }`;
  await Deno.writeTextFile(`${folder}/nginx.conf`, config);
  const child = new Deno.Command("nginx", {
    args: ["-c", `${folder}/nginx.conf`, "-e", `${folder}/error.log`],
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const url = `http://127.0.0.1:${port}`;
  await untilItAnswers(url);
  return {
    url,
    pids: [child.pid],
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
