/**
 * What membership costs and how fast it tells, by the number of servers: simulated in virtual time, with the messages
 * that real servers would send, encoded in both encodings.
 *
 *     deno run -P=bench bench/members/run.ts [SERVERS...]
 */
import { codecOf, wire } from "../../proto/mod.ts";
import { swimDefaults } from "../../server/cluster/swim_settings.ts";
import { type Sent, World } from "../../tests/server/cluster/gossip_world.ts";
import { median, table } from "../kit.ts";

/**
 * Heads of one request and its answer over HTTP/1.1, as our servers write them with request signatures (RFC 9421) and
 * digests: about 750 bytes there (start line, host, types, content-digest, signature-input, signature), 250 back.
 * Without TLS records, TCP and IP.
 */
const HEAD_BYTES = { question: 750, answer: 250 };
/** A certificate of an Ed25519 key by an Ed25519 CA with a name or two, DER. */
const CERTIFICATE_BYTES = 330;
const QUIET_MS = 300_000;
const DEATHS = 3;

function schemaOf({ name, question }: Sent) {
  return name === "servers" ? wire.ServerListSchema : question ? wire.PingSchema : wire.PongSchema;
}

interface Traffic {
  json: number;
  protobuf: number;
  heads: number;
  lists: number;
  listMessages: number;
  messages: number;
}

async function measure(servers: number) {
  const world = new World(servers, {});
  const traffic: Traffic = { json: 0, protobuf: 0, heads: 0, lists: 0, listMessages: 0, messages: 0 };
  const count = (sent: Sent) => {
    const schema = schemaOf(sent);
    const protobuf = codecOf("protobuf").encode(schema as typeof wire.PingSchema, sent.message as wire.Ping).length;
    traffic.json += codecOf("json").encode(schema as typeof wire.PingSchema, sent.message as wire.Ping).length;
    traffic.protobuf += protobuf;
    if (sent.name === "servers") {
      traffic.lists += protobuf;
      traffic.listMessages++;
    }
    traffic.heads += sent.question ? HEAD_BYTES.question : HEAD_BYTES.answer;
    traffic.messages++;
  };
  const certificate = new Uint8Array(CERTIFICATE_BYTES).fill(5);
  const joinMs = await world.grown(servers, certificate).then(() => world.nowMs);
  await world.run(180_000); // until the news of the beginning is told
  world.onSent = count;
  await world.run(QUIET_MS);
  world.onSent = () => {};
  const perSecond = (bytes: number) => bytes / (QUIET_MS / 1000) / servers;

  const times: { suspected: number; told: number; dead: number }[] = [];
  for (let death = 0; death < Math.min(DEATHS, servers - 2); death++) {
    const victim = world.all.filter((one) => one.isUp)[1 + death]!;
    victim.kill();
    const rest = world.all.filter((one) => one.isUp);
    const suspected = await world.until("suspected", () => rest.some((one) => one.sees(victim.id) !== "alive"));
    const told = await world.until("told", () => rest.every((one) => one.sees(victim.id) !== "alive"));
    const dead = await world.until("dead", () => rest.every((one) => one.sees(victim.id) === "dead"));
    times.push({ suspected, told: suspected + told, dead: suspected + told + dead });
    await world.run(30_000);
  }
  await world.close();
  const seconds = (of: (time: typeof times[number]) => number) => (median(times.map(of)) / 1000).toFixed(1);
  const round = (bytes: number) => Math.round(perSecond(bytes));
  return [
    servers,
    (traffic.messages / (QUIET_MS / 1000) / servers).toFixed(2),
    round(traffic.protobuf),
    round(traffic.json),
    round(traffic.lists),
    round(traffic.heads),
    round(traffic.protobuf + traffic.heads),
    // What the same lists would cost if each server sent its own to each other one every 5 s, and answered theirs.
    Math.round((traffic.lists / traffic.listMessages + 500) * 2 * (servers - 1) / 5),
    (joinMs / 1000).toFixed(1),
    seconds((time) => time.suspected),
    seconds((time) => time.told),
    seconds((time) => time.dead),
  ];
}

const counts = Deno.args.length > 0 ? Deno.args.map(Number) : [10, 100, 300];
console.log(
  `One server sends, in a quiet cluster (pings every ${swimDefaults.pingMs} ms, whole lists every ` +
    `${swimDefaults.syncMs / 1000} s or more rarely; certificates of ${CERTIFICATE_BYTES} bytes; heads reckoned as ` +
    `${HEAD_BYTES.question} + ${HEAD_BYTES.answer} bytes), and what a death takes:\n`,
);
const rows = [];
for (const count of counts) rows.push(await measure(count));
console.log(table([
  "servers",
  "messages/s",
  "Protobuf B/s",
  "JSON B/s",
  "of it lists (Protobuf)",
  "heads B/s",
  "Protobuf + heads",
  "lists to all, every 5 s",
  "all joined at once, s",
  "death suspected, s",
  "all know of the suspicion, s",
  "all know it is dead, s",
], rows));
