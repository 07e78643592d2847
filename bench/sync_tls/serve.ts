/**
 * One server: `deno run … serve.ts plain|tls FOLDER ID [PEER]`. With `tls`, FOLDER has `ID.pem`, `ID.key` and `ca.pem`; its
 * data is in `FOLDER/KIND-ID`.
 */
import { derOf, verifyPeerCertificate } from "../../certs/mod.ts";
import { systemInput } from "../../cli/command.ts";
import { protobufCodec } from "../../proto/mod.ts";
import { identityKeyFrom } from "../../runtime/identity_key.ts";
import { listen } from "../../runtime/listen.ts";
import { createLogger } from "../../runtime/log.ts";
import { readSecrets } from "../../runtime/secrets.ts";
import { openTlsClient } from "../../runtime/tls_client.ts";
import { openTlsFiles } from "../../runtime/tls_source.ts";
import { openServer } from "../../server/mod.ts";

const [kind, folder, id, ...peers] = Deno.args as [string, string, string, ...string[]];
const log = createLogger({ level: "warn", format: "text", program: id });
const secrets = readSecrets({ "token-file": null, "cluster-key-file": null }, systemInput);

const files = { cert: `${folder}/${id}.pem`, key: `${folder}/${id}.key` };
const source = kind === "tls" ? openTlsFiles(files, { log }) : null;
const client = source && openTlsClient(`${folder}/ca.pem`, { log });
const node = await openServer({
  data: `${folder}/${kind}-${id}`,
  identity: { id, provider: "local", region: "local", role: "origin", labels: {} },
  secrets,
  codec: protobufCodec,
  scrubBytesPerSecond: 0,
  log,
  ...(source && client && {
    tls: {
      certificate: () => derOf(source.current.cert),
      onRenewed: () => {},
      fetch: client.fetch,
      key: identityKeyFrom(source.current.key),
      verifyCertificate: (der, nowMs) => verifyPeerCertificate(der, client.ca, nowMs),
    },
  }),
});
const listening = listen({ hostname: "127.0.0.1", port: 0 }, node.handler, { log, token: secrets.token, tls: source });
node.start(listening.url, peers);
console.log(`listening ${listening.url}`);
