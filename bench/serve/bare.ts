/** One contestant: `deno run … bare.ts HTTP-PORT HTTPS-PORT FILES CERT KEY`: a bare `Deno.serve` that answers from memory. */
const [http, https, files, certFile, keyFile] = Deno.args as [string, string, string, string, string];

const LARGEST = 16 << 20;
const answers = new Map<string, { body: Uint8Array<ArrayBuffer>; headers: Headers }>();
for (const { name } of Deno.readDirSync(files)) {
  if (Number(name) > LARGEST) continue;
  const body = Deno.readFileSync(`${files}/${name}`);
  const headers = new Headers({ "content-type": "application/octet-stream", etag: `"${name}"` });
  answers.set(`/${name}`, { body, headers });
}

function answer(request: Request): Response {
  const found = answers.get(request.url.slice(request.url.indexOf("/", 8)));
  if (!found) return new Response(null, { status: 404 });
  const { body, headers } = found;
  if (request.headers.get("if-none-match") === headers.get("etag")) return new Response(null, { status: 304, headers });
  return new Response(body, { headers });
}

const listen = { hostname: "127.0.0.1", onListen() {} };
Deno.serve({ ...listen, port: Number(http) }, answer);
const pair = { cert: Deno.readTextFileSync(certFile), key: Deno.readTextFileSync(keyFile) };
Deno.serve({ ...listen, port: Number(https), ...pair }, answer);
