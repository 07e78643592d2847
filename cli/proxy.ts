/** `metacdn proxy`: routes each request by network, price, or both. */
import { checkName, POLICIES, PROXY_DEFAULTS, serveProxy } from "../proxy/mod.ts";
import {
  choiceFlag,
  type CommandSpec,
  commonFlags,
  listFlag,
  numberFlag,
  parseCommand,
  switchFlag,
  urlsFlag,
} from "../runtime/flags.ts";
import { createLogger } from "../runtime/log.ts";
import { readSecrets } from "../runtime/secrets.ts";
import { aborted, stopSignal } from "../runtime/stop.ts";
import { caFlag, openTrust } from "./ca.ts";
import type { Command } from "./command.ts";
import { checkAtHangup, listenTlsFlags, openListenTls } from "./tls.ts";

const { probeIntervalMs, sampleIntervalMs, priceIntervalMs, headTimeoutMs, idleTimeoutMs } = PROXY_DEFAULTS;
const MOST_MS = 86_400_000;
/** A worker a processor, and no more than a small machine has memory for. */
const PROCESSORS = Math.min(navigator.hardwareConcurrency, 8);

const flags = {
  server: urlsFlag([...PROXY_DEFAULTS.servers], "servers to learn the list from; the later ones are fallbacks", {
    env: "METACDN_SERVER",
  }),
  pricing: urlsFlag([...PROXY_DEFAULTS.pricing], "pricing servers; the later ones are fallbacks"),
  policy: choiceFlag(POLICIES, PROXY_DEFAULTS.policy, "what decides: time, price, or both in one unit"),
  weight: numberFlag("0..1", PROXY_DEFAULTS.weight, "under combined: 0 counts price alone, 1 time alone", {
    most: 1,
    fraction: true,
  }),
  workers: numberFlag("N", PROCESSORS, "isolates that answer, all on one port", { least: 1, most: 64 }),
  name: listFlag("HOST", "answer for this host name too", checkName),
  "probe-interval": numberFlag("MS", probeIntervalMs, "measure each round trip this often", {
    least: 10,
    most: MOST_MS,
  }),
  "sample-interval": numberFlag("MS", sampleIntervalMs, "measure a rate this often where no transfer did", {
    least: 100,
    most: MOST_MS,
  }),
  "price-interval": numberFlag("MS", priceIntervalMs, "ask for prices this often", { least: 10, most: MOST_MS }),
  "head-timeout": numberFlag("MS", headTimeoutMs, "how long a server may take to begin its answer", {
    least: 10,
    most: MOST_MS,
  }),
  "idle-timeout": numberFlag("MS", idleTimeoutMs, "how long a server may pause in the middle of a body", {
    least: 10,
    most: MOST_MS,
  }),
  "no-front": switchFlag("let Deno.serve alone answer, without the faster door before it"),
  ...commonFlags("127.0.0.1:8000"),
  ca: caFlag,
  ...listenTlsFlags,
};

const spec: CommandSpec<typeof flags> = {
  name: "proxy",
  summary: "Routes each request to the server that is fastest, cheapest, or best by both.",
  flags,
  examples: [
    ["metacdn proxy", "at 127.0.0.1:8000, with the servers that 127.0.0.1:8080 knows"],
    [
      "metacdn proxy --server http://a:8080,http://b:8080 --policy price",
      "price alone decides; b is asked if a is away",
    ],
    ["curl -x http://127.0.0.1:8000 http://127.0.0.1:8080/photo.jpg", "as a forward proxy"],
    [
      "metacdn proxy --server https://a:8443 --ca ca.pem --listen :443 --tls-cert cdn.pem --tls-key cdn.key",
      "servers by TLS with our own CA, viewers by HTTPS with a certificate of metacdn certs acme",
    ],
    ["curl http://127.0.0.1:8000/-/explain?path=/photo.jpg", "why a request goes where it goes"],
  ],
  notes: ["Every answer has Metacdn-Route: who answered, by which policy, and whether prices were fresh."],
};

/** Runs the proxy until it is told to stop. */
export const proxy: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const values = parsed.flags;
  const secrets = readSecrets(values, input);
  const log = createLogger({ level: values["log-level"], format: values["log-format"], program: "proxy" });
  const stop = stopSignal({ supervised: input.env("METACDN_SUPERVISED") === "1" });
  using trust = openTrust(values.ca, [...values.server, ...values.pricing], log);
  using viewers = openListenTls(values["tls-cert"], values["tls-key"], { log });
  using _hangup = checkAtHangup([trust, viewers]);
  const serving = await serveProxy({
    secrets,
    log,
    fetch: trust.fetch,
    tls: { ca: trust.ca, viewers },
    settings: {
      servers: values.server,
      pricing: values.pricing,
      policy: values.policy,
      weight: values.weight,
      names: values.name,
      probeIntervalMs: values["probe-interval"],
      sampleIntervalMs: values["sample-interval"],
      priceIntervalMs: values["price-interval"],
      headTimeoutMs: values["head-timeout"],
      idleTimeoutMs: values["idle-timeout"],
      front: !values["no-front"],
    },
  }, { address: values.listen, workers: values.workers });
  console.log(`listening ${serving.url}`);
  await aborted(stop);
  await serving.close();
  return 0;
};
