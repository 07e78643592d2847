/** `metacdn pricing`: the pricing server. */
import { createPricing, EXPECTED_BYTES_PER_HOUR, PEER_INTERVAL_MS } from "../pricing/mod.ts";
import { codecOf } from "../proto/mod.ts";
import {
  choiceFlag,
  type CommandInput,
  commonFlags,
  nameFlag,
  numberFlag,
  parseCommand,
  sizeFlag,
  stringFlag,
  urlsFlag,
} from "../runtime/flags.ts";
import { listen, requireSafeAddress } from "../runtime/listen.ts";
import { createLogger } from "../runtime/log.ts";
import { readSecrets, requirePeerKey } from "../runtime/secrets.ts";
import { aborted, stopSignal } from "../runtime/stop.ts";
import { caFlag, openTrust } from "./ca.ts";
import { checkAtHangup, listenTlsFlags, openListenTls } from "./tls.ts";

const flags = {
  ...commonFlags("127.0.0.1:8090"),
  ...listenTlsFlags,
  data: stringFlag("DIR", ".metacdn/pricing", "where the sheets and the usage are kept"),
  "expected-bytes-per-hour": sizeFlag(
    `${EXPECTED_BYTES_PER_HOUR / 1e9}GB`,
    "the bytes over which a server's hourly price is spread, where its sheet does not say",
  ),
  ca: caFlag,
  peers: urlsFlag([], "other pricing servers, to keep prices and usage equal with"),
  id: nameFlag("NAME", null, "this server's name among its peers; made once and kept in the data folder unless given"),
  encoding: choiceFlag(["json", "protobuf"], "json", "what messages to peers are sent in"),
  "peer-interval": numberFlag("MS", PEER_INTERVAL_MS, "exchange with each peer this often where nothing changed", {
    least: 10,
    most: 3_600_000,
  }),
};

/** Runs until it is told to stop; resolves to the exit status. */
export async function pricing(argv: readonly string[], input: CommandInput): Promise<number> {
  const command = parseCommand(
    {
      name: "pricing",
      summary: "The pricing server: what each cloud charges for the next byte.",
      flags,
      examples: [
        ["metacdn pricing", "at http://127.0.0.1:8090, with the list prices that the program comes with"],
        [
          "METACDN_TOKEN=… METACDN_CLUSTER_KEY=… metacdn pricing --listen :8090 --peers http://prices-b.example.com:8090",
          "one of two, each given the other: either may die",
        ],
        ["curl http://127.0.0.1:8090/-/v1/prices/aws/us-east-1", "one price sheet"],
      ],
      notes: ["docs/pricing.md says how a price is computed, and how to read and change one."],
    },
    argv,
    input,
  );
  if (command.help !== null) {
    console.log(command.help);
    return 0;
  }
  const { listen: address, data, ...rest } = command.flags;
  const secrets = readSecrets(rest, input);
  requirePeerKey(rest.peers, secrets);
  requireSafeAddress(address, secrets.token);
  const log = createLogger({ level: rest["log-level"], format: rest["log-format"], program: "pricing" });
  const stop = stopSignal({ supervised: input.env("METACDN_SUPERVISED") === "1" });
  using tls = openListenTls(rest["tls-cert"], rest["tls-key"], { log });
  using trust = openTrust(rest.ca, rest.peers, log);
  using _hangup = checkAtHangup([tls, trust]);
  const service = createPricing({
    folder: data,
    secrets,
    log,
    expectedBytesPerHour: rest["expected-bytes-per-hour"],
    id: rest.id,
    peers: rest.peers,
    peerIntervalMs: rest["peer-interval"],
    codec: codecOf(rest.encoding),
    fetch: trust.fetch,
  });
  try {
    const listening = listen(address, service.handler, { log, token: secrets.token, tls });
    service.start();
    console.log(`listening ${listening.url}`);
    await aborted(stop);
    await listening.close();
  } finally {
    await service.close();
  }
  return 0;
}
