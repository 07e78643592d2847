/** The servers that ours are compared with, each in a folder of its own: two workers where they have such. */
import { freePort, untilItAnswers } from "../proxy/ports.ts";

/** What all contestants serve, and by which certificate. */
export interface Task {
  /** For their own files; made anew for each. */
  folder: string;
  /** The files, named by their size. */
  files: string;
  cert: string;
  key: string;
}

/** A server that runs; disposing ends it. */
export interface Contestant extends AsyncDisposable {
  name: string;
  /** Base URLs; null where it has no TLS. */
  http: string;
  https: string | null;
  /** Where a file is whose answer comes from disk, if that is another server. */
  disk?: Pick<Contestant, "http" | "https" | "pids">;
  /** Where a query that nobody has asked for yet is a miss, which an origin answers; absent where there is no cache. */
  miss?: Pick<Contestant, "http" | "pids">;
  /** Its processes, those that they have started included in what they use. */
  pids: number[];
}

/** nginx with sendfile, and a cache of open files; a third port has its own cache before it (proxy_cache). */
export async function startNginx({ folder, files, cert, key }: Task): Promise<Contestant> {
  const [http, https, cached] = [freePort(), freePort(), freePort()];
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder};`);
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    `daemon off; worker_processes 2; worker_rlimit_nofile 20000; pid ${folder}/pid; error_log ${folder}/error.log;
     events { worker_connections 10000; }
     http {
       access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600; send_timeout 600;
       open_file_cache max=100; etag on; ${temp.join(" ")}
       ssl_certificate ${cert}; ssl_certificate_key ${key};
       server {
         listen 127.0.0.1:${http} reuseport backlog=4096; listen 127.0.0.1:${https} ssl reuseport backlog=4096;
         root ${files};
       }
       proxy_cache_path ${folder}/cache keys_zone=z:100m max_size=20g inactive=1h use_temp_path=off;
       upstream origin { server 127.0.0.1:${http}; keepalive 64; }
       server {
         listen 127.0.0.1:${cached} reuseport backlog=4096;
         location / {
           proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
           proxy_cache z; proxy_cache_valid 200 1h; proxy_cache_lock on;
         }
       }
     }`,
  );
  const error = `${folder}/error.log`;
  const nginx = await running("nginx", "nginx", ["-c", `${folder}/nginx.conf`, "-e", error], { http, https });
  return { ...nginx, miss: { http: `http://127.0.0.1:${cached}`, pids: nginx.pids } };
}

/** lighttpd with sendfile. */
export async function startLighttpd({ folder, files, cert, key }: Task): Promise<Contestant> {
  const [http, https] = [freePort(), freePort()];
  await Deno.writeTextFile(
    `${folder}/lighttpd.conf`,
    `server.modules = ("mod_openssl")
     server.document-root = "${files}"
     server.bind = "127.0.0.1"
     server.port = ${http}
     server.max-worker = 2
     server.max-fds = 20000
     server.max-connections = 10000
     server.max-keep-alive-requests = 1000000000
     server.max-keep-alive-idle = 600
     server.max-write-idle = 600
     server.listen-backlog = 4096
     server.errorlog = "${folder}/error.log"
     mimetype.assign = ("" => "application/octet-stream")
     $SERVER["socket"] == "127.0.0.1:${https}" {
       ssl.engine = "enable"
       ssl.pemfile = "${cert}"
       ssl.privkey = "${key}"
     }`,
  );
  return await running("lighttpd", "lighttpd", ["-D", "-f", `${folder}/lighttpd.conf`], { http, https });
}

/** Apache httpd with its event MPM. */
export async function startHttpd({ folder, files, cert, key }: Task): Promise<Contestant> {
  const [http, https] = [freePort(), freePort()];
  const modules = ["mpm_event", "authz_core", "ssl", "socache_shmcb"]
    .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  await Deno.writeTextFile(
    `${folder}/httpd.conf`,
    `${modules.join("\n")}
     ServerRoot ${folder}
     ServerName localhost
     PidFile ${folder}/pid
     ErrorLog ${folder}/error.log
     DefaultRuntimeDir ${folder}
     User nobody
     Group nogroup
     Listen 127.0.0.1:${http}
     Listen 127.0.0.1:${https}
     StartServers 2
     ServerLimit 16
     ThreadsPerChild 64
     MaxRequestWorkers 1024
     AsyncRequestWorkerFactor 16
     MaxKeepAliveRequests 0
     KeepAliveTimeout 600
     Timeout 600
     EnableSendfile On
     DocumentRoot ${files}
     <VirtualHost 127.0.0.1:${https}>
       SSLEngine on
       SSLCertificateFile ${cert}
       SSLCertificateKeyFile ${key}
     </VirtualHost>`,
  );
  return await running("httpd", "apache2", ["-D", "FOREGROUND", "-f", `${folder}/httpd.conf`], { http, https });
}

/** Varnish before an nginx; it has no TLS. */
export async function startVarnish(task: Task): Promise<Contestant> {
  const origin = await startNginx(task);
  const http = freePort();
  const varnish = await running("varnish", "varnishd", [
    ...["-F", "-j", "none", "-n", `${task.folder}/varnish`, "-a", `127.0.0.1:${http}`],
    ...["-b", new URL(origin.http).host, "-s", "malloc,512m", "-p", "timeout_idle=600", "-p", "send_timeout=600"],
  ], { http, https: null });
  return {
    ...varnish,
    async [Symbol.asyncDispose]() {
      await varnish[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

/** `Deno.serve` and nothing else: answers from memory (`bare.ts`). */
export async function startBare({ files, cert, key }: Task): Promise<Contestant> {
  const [http, https] = [freePort(), freePort()];
  const script = new URL("bare.ts", import.meta.url).pathname;
  const args = [
    ...["run", "--no-prompt", "--allow-net", "--allow-read"],
    script,
    `${http}`,
    `${https}`,
    files,
    cert,
    key,
  ];
  return await running("Deno.serve", Deno.execPath(), args, { http, https });
}

async function running(
  name: string,
  command: string,
  args: string[],
  { http, https }: { http: number; https: number | null },
): Promise<Contestant> {
  const child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
  const url = `http://127.0.0.1:${http}`;
  await untilItAnswers(`${url}/1024`, 200);
  return {
    name,
    http: url,
    https: https === null ? null : `https://127.0.0.1:${https}`,
    pids: [child.pid],
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
