/** The peer of the raw PUT: a bare `Deno.serve` that hashes the stream, writes it to a file and fsyncs it. */
import { createHash } from "node:crypto";

const folder = Deno.args[0]!;
let count = 0;
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
  const hash = createHash("sha256");
  using file = await Deno.open(`${folder}/bare-${count++}`, { write: true, create: true, truncate: true });
  if (request.body) {
    for await (const chunk of request.body) {
      hash.update(chunk);
      for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
    }
  }
  await file.sync();
  return new Response(hash.digest("hex") + "\n", { status: 201 });
});
console.log(`listening http://127.0.0.1:${server.addr.port}`);
