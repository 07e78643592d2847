/** `metacdn server`: a content server. */
import { basename, dirname, join, relative, resolve } from "@std/path";
import { codecOf } from "../proto/mod.ts";
import {
  addressFlag,
  choiceFlag,
  commonFlags,
  nameFlag,
  numberFlag,
  pairsFlag,
  parseCommand,
  sizeFlag,
  stringFlag,
  switchFlag,
  urlFlag,
  urlsFlag,
  UsageError,
} from "../runtime/flags.ts";
import { formatAddress, requireSafeAddress } from "../runtime/listen.ts";
import { createLogger } from "../runtime/log.ts";
import { readSecrets, requirePeerKey } from "../runtime/secrets.ts";
import { aborted, stopSignal } from "../runtime/stop.ts";
import {
  clusterDefaults,
  defaultLimits,
  defaultRules,
  defaultUploadLimits,
  frontDefaults,
  keepServerId,
  listenServer,
  makeServerId,
  type MatchedRules,
  openServer,
  orDefault,
  parseMatched,
} from "../server/mod.ts";
import type { Command } from "./command.ts";
import { edgeFlags, edgeOf } from "./edge_flags.ts";
import { checkAtHangup, openListenTls, openServerTls, tlsFlags } from "./tls.ts";

const spec = {
  name: "server",
  summary: "A content server: takes objects, keeps them, hands them out, and shares them with its peers.",
  flags: {
    ...commonFlags("127.0.0.1:8080"),
    "id": nameFlag("NAME", null, "this server's name; made once and kept in the data folder unless given"),
    "data": stringFlag("DIR", "./.metacdn/server", "where objects and everything else is kept"),
    "provider": nameFlag("NAME", "local", "the cloud that this server is at, as its price sheet names it"),
    "region": nameFlag("NAME", "local", "the cloud's region"),
    "role": choiceFlag(["origin", "edge"], "origin", "an origin is sent all content; an edge keeps what it is given"),
    ...edgeFlags,
    "label": pairsFlag("shown in the list of servers"),
    "url": urlFlag(null, "where others reach this server, if not at the listening address"),
    "peers": urlsFlag([], "other servers to join; they tell of further ones"),
    "encoding": choiceFlag(["json", "protobuf"], "json", "what messages to other servers are sent in"),
    "publish": stringFlag("DIR", null, "serve the files of a folder too, and follow it (see server/publish/README.md)"),
    "cache-policy": stringFlag("FILE", null, "caching rules by glob, as JSON (see server/README.md)"),
    "chunk-size": sizeFlag("1MiB", "the largest chunk of an upload that is taken", { least: 64 << 10, most: 64 << 20 }),
    "hot-size": sizeFlag("32MiB", "memory for small objects that are often asked for; 0 for none", { least: 0 }),
    "max-object-size": sizeFlag("1TiB", "the largest object that is taken"),
    "max-sessions": numberFlag("N", defaultUploadLimits.maxSessions, "most upload sessions under way", { least: 1 }),
    "max-session-bytes": sizeFlag("4TiB", "most bytes that the sessions under way may come to, together"),
    "session-timeout": numberFlag(
      "MS",
      defaultUploadLimits.idleMs,
      "forget a session after this long without a chunk",
      {
        least: 1000,
      },
    ),
    "upload-memory": sizeFlag("64MiB", "memory for chunks that are coming in; further ones wait"),
    "idle-timeout": numberFlag("MS", defaultLimits.idleMs, "how long a sender may pause in the middle of a body", {
      least: 100,
      most: 86_400_000,
    }),
    "max-ranges": numberFlag("N", defaultLimits.ranges, "most ranges of one request that are answered apart", {
      least: 1,
      most: 1000,
    }),
    "no-front": switchFlag("let Deno.serve alone answer, without the faster door before it"),
    "max-viewers": numberFlag("N", frontDefaults.mostViewers, "most connections of the faster door at a time", {
      least: 1,
      most: 1_000_000,
    }),
    ...tlsFlags,
    "viewer-listen": addressFlag(null, "answer here too, with a certificate that browsers know"),
    "viewer-cert": stringFlag("FILE", null, "with --viewer-listen: that certificate (metacdn certs acme)"),
    "viewer-key": stringFlag("FILE", null, "with --viewer-listen: its private key"),
    "min-free": sizeFlag("64MiB", "refuse bytes that would leave less than this free on the disk", { least: 0 }),
    "min-copies": numberFlag(
      "N",
      0,
      "acknowledge a write once so many servers hold it on disk; 0: two once there ever was another server, else one",
      { most: 16 },
    ),
    "copies-timeout": numberFlag("MS", clusterDefaults.copiesWaitMs, "how long a write waits for its copies", {
      least: 100,
      most: 600_000,
    }),
    "sync-rate": sizeFlag("0", "fetch at most so many bytes a second in the background; 0: as fast as it goes", {
      least: 0,
    }),
    "scrub-rate": sizeFlag("8MiB", "read all content again and compare it, so many bytes a second; 0: never", {
      least: 0,
    }),
    "heartbeat": numberFlag("MS", clusterDefaults.pingMs, "between two heartbeats", { least: 50, most: 60_000 }),
    "max-clock-skew": numberFlag("MS", defaultLimits.maxAheadMs, "refuse what is stamped further ahead than this", {
      least: 1000,
      most: 86_400_000,
    }),
    "tombstone-days": numberFlag("DAYS", 30, "how long a delete is remembered; who was away longer starts from empty", {
      least: 1,
      most: 3650,
    }),
  },
  examples: [
    ["metacdn server", "on http://127.0.0.1:8080, keeping everything below ./.metacdn/server"],
    ["metacdn server --tls --id a --listen :8443 --url https://a.example.com:8443", "with a certificate of our own CA"],
    [
      "METACDN_TOKEN=… METACDN_CLUSTER_KEY=… metacdn server --listen :8080 --url http://a.example.com:8080 \\\n" +
      "      --provider aws --region us-east-1 --peers http://b.example.com:8080",
      "one of several servers",
    ],
    ["metacdn server --role edge --origin https://www.example.com --cache /var/cache/metacdn", "a pull-through cache"],
    ["metacdn server --label jurisdiction=de --label operator=ann", "what metacdn doctor reckons with"],
    ["metacdn server --publish ./mediafiles", "serves /film.mp4 where there is ./mediafiles/film.mp4"],
    ["curl -T photo.jpg http://127.0.0.1:8080/photo.jpg", "puts an object"],
  ] as [string, string][],
};

/** Runs a server until it is told to stop. */
export const server: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { flags } = parsed;
  const secrets = readSecrets(flags, input);
  if (!flags.tls) requirePeerKey(flags.peers, secrets);
  const plain = flags.tls &&
    [...flags.peers, ...(flags.url ? [flags.url] : [])].find((url) => !url.startsWith("https:"));
  if (plain) throw new UsageError(`with --tls every URL must be https://, and ${plain} is not`);
  requireSafeAddress(flags.listen, secrets.token);
  const viewerAddress = flags["viewer-listen"];
  if ((viewerAddress === null) !== (flags["viewer-cert"] === null)) {
    throw new UsageError("--viewer-listen, --viewer-cert and --viewer-key belong together");
  }
  if (viewerAddress) requireSafeAddress(viewerAddress, secrets.token);
  const matched = flags["cache-policy"] === null ? null : readPolicy(flags["cache-policy"], input.readTextFile);
  if (flags.publish !== null) requirePublishable(flags.publish, flags.data);
  if (flags.publish !== null && flags.origin.length) {
    throw new UsageError("--publish is not for an edge with --origin: it serves what its origins have");
  }
  const log = createLogger({ level: flags["log-level"], format: flags["log-format"], program: "server" });
  const stop = stopSignal({ supervised: input.env("METACDN_SUPERVISED") === "1" });

  const id = await keepServerId(flags.data, flags.id, () => makeServerId(Deno.hostname(), Math.random));
  const host = new URL(flags.url ?? reachable(`https://${formatAddress(flags.listen)}`)).hostname;
  using tls = flags.tls ? await openServerTls({ dir: flags.certs, id, host, data: flags.data, log }) : null;
  using viewerTls = openListenTls(flags["viewer-cert"], flags["viewer-key"], {
    log,
    names: ["--viewer-cert", "--viewer-key"],
  });
  using _hangup = checkAtHangup([tls, viewerTls]);
  using edge = edgeOf(flags, { log, policy: matched });
  await using node = await openServer({
    ...(edge && { edge: edge.settings }),
    ...(tls && { tls: tls.server }),
    data: flags.data,
    identity: { id, provider: flags.provider, region: flags.region, role: flags.role, labels: flags.label },
    secrets,
    codec: codecOf(flags.encoding),
    policy: matched === null ? defaultRules : orDefault(matched),
    limits: {
      chunkSize: flags["chunk-size"],
      maxObjectSize: flags["max-object-size"],
      hotBytes: flags["hot-size"],
      idleMs: flags["idle-timeout"],
      ranges: flags["max-ranges"],
      maxAheadMs: flags["max-clock-skew"],
    },
    uploads: {
      maxSessions: flags["max-sessions"],
      maxTotalSize: flags["max-session-bytes"],
      idleMs: flags["session-timeout"],
      bufferSize: flags["upload-memory"],
    },
    ...(flags.publish !== null && { publish: { folder: flags.publish } }),
    minFreeBytes: flags["min-free"],
    scrubBytesPerSecond: flags["scrub-rate"],
    cluster: {
      minCopies: flags["min-copies"],
      copiesWaitMs: flags["copies-timeout"],
      syncBytesPerSecond: flags["sync-rate"],
      pingMs: flags.heartbeat,
      tombstoneMs: flags["tombstone-days"] * 86_400_000,
    },
    log,
  });
  const door = {
    handler: node.handler,
    application: flags["no-front"] ? null : node.application,
    log,
    token: secrets.token,
    limits: { mostViewers: flags["max-viewers"] },
  };
  const listening = listenServer(flags.listen, { ...door, tls: tls?.source ?? null });
  const viewers = viewerAddress && viewerTls && listenServer(viewerAddress, { ...door, tls: viewerTls });
  if (viewers) log.info("listening for viewers", { url: viewers.url });
  const url = flags.url ?? reachable(listening.url);
  node.start(url, flags.peers);
  console.log(`listening ${listening.url}`);
  log.info("started", { id, url, data: flags.data, provider: flags.provider, region: flags.region });

  await aborted(stop);
  log.info("stopping");
  await node.retire();
  await Promise.all([listening.close(), viewers?.close()]);
  return 0;
};

/** What a policy file says of the paths that it names. */
function readPolicy(file: string, readTextFile: (path: string) => string): MatchedRules {
  let text: string;
  try {
    text = readTextFile(file);
  } catch (error) {
    throw new UsageError(`--cache-policy: cannot read ${file}: ${(error as Error).message}`);
  }
  try {
    return parseMatched(text);
  } catch (error) {
    throw new UsageError(`--cache-policy: ${file}: ${(error as Error).message}`);
  }
}

/** A folder that we may read, and that our own files are no part of (hidden ones are not published). */
function requirePublishable(folder: string, data: string): void {
  try {
    Deno.readDirSync(folder)[Symbol.iterator]().next();
    const inside = relative(Deno.realPathSync(folder), realOrPlanned(resolve(data)));
    if (!inside.split("/").some((name) => name.startsWith("."))) {
      throw new Error(`the data folder ${data} lies in it: it would be published too`);
    }
  } catch (error) {
    throw new UsageError(`--publish: cannot publish ${folder}: ${(error as Error).message}`);
  }
}

/** The real path of what is there, or will be. */
function realOrPlanned(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return join(realOrPlanned(dirname(path)), basename(path));
  }
}

/** Nobody can be told to come to "every address": then it is the machine's name. */
function reachable(url: string): string {
  return url.replace(/^(https?):\/\/(0\.0\.0\.0|\[::\])(?=:)/, `$1://${Deno.hostname()}`);
}
