/**
 * One contestant: `deno run … serve.ts plain|tls|bare FOLDER`, a listener that answers `/N` with N bytes. `bare` is
 * `Deno.serve` with the same certificate and nothing of ours. Without --allow-ffi, `tls` cannot set TCP_NODELAY.
 */
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openTlsFiles } from "../../runtime/tls_source.ts";

const [kind, folder] = Deno.args;
const address = { hostname: "127.0.0.1", port: 0 };
const files = { cert: `${folder}/a.pem`, key: `${folder}/a.key` };

const piece = new Uint8Array(64 << 10);
const small = "x".repeat(1024);

/** Small ones from memory, long ones as a stream, with their length as a content server says it. */
function answer(request: Request): Response {
  const size = Number(new URL(request.url).pathname.slice(1));
  const headers = { "content-length": String(size) };
  if (size === small.length) return new Response(small, { headers });
  if (size < 2 ** 20) return new Response(new Uint8Array(size), { headers });
  let left = size;
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(left < piece.length ? piece.subarray(0, left) : piece);
      left -= Math.min(left, piece.length);
      if (left === 0) controller.close();
    },
  });
  return new Response(body, { headers });
}

if (kind === "bare") {
  const pair = { cert: Deno.readTextFileSync(files.cert), key: Deno.readTextFileSync(files.key) };
  const server = Deno.serve({ ...address, ...pair, onListen() {} }, answer);
  console.log(`listening https://127.0.0.1:${server.addr.port}`);
} else {
  const tls = kind === "tls" ? openTlsFiles(files, { log: silentLogger }) : null;
  console.log(`listening ${listen(address, answer, { log: silentLogger, token: null, tls }).url}`);
}
