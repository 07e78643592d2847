/**
 * What `up` shows: something changes, and the same request goes elsewhere. Nothing here decides where; each
 * scenario changes one thing (a price, a link, a process), asks the proxies for the file again and again until
 * their measurements have moved the choice, and tells what they say of it.
 */
import { bold, dim, green, yellow } from "@std/fmt/colors";
import { CdnError, encodePath, type wire } from "../../proto/mod.ts";
import { type Answer, download, explain, flatSheet, getSheet, putSheet } from "./ask.ts";
import { figures, heading } from "./table.ts";
import { gbPriceText, msText, rateText, sizeText } from "./text.ts";
import { POLICIES, type Policy, type World } from "./world.ts";

/** Up to this size, in bytes, a file is asked for again and again while its choice is waited for. */
const MOST_ASKED = 1_000_000;

/** An object that was uploaded. */
export interface Uploaded {
  path: string;
  sha256: string;
  bytes: number;
}

/** What scenarios work with. */
export interface Stage {
  world: World;
  /** The file that is asked for, again and again. */
  photo: Uploaded;
  /** One that takes seconds to download, so that something can happen in the middle. */
  film: Uploaded;
  /** Writes a line that stays. */
  tell(line: string): void;
  /** Writes a row of an outcome: a label, what happened, and the words behind it. */
  row(label: string, what: string, why: string): void;
  /** Shows what is being waited for. */
  status(what: string): void;
  signal: AbortSignal;
  /** How long the measurements may take to move a choice. */
  patienceMs: number;
}

/** One scenario. It throws a `CdnError` where what should happen does not; it puts back what it changed. */
export interface Scenario {
  title: string;
  play(stage: Stage): Promise<void>;
}

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  { title: "A price rises", play: priceRises },
  { title: "A link slows down", play: linkSlows },
  { title: "Price and time are weighed against each other", play: bothWeighed },
  { title: "A server dies in the middle of a download", play: serverDies },
];

/** Plays all of them; resolves to how many failed. */
export async function playAll(stage: Stage): Promise<number> {
  let failed = 0;
  await Promise.all(POLICIES.map((policy) => introduce(stage, policy, stage.photo)));
  for (const [at, { title, play }] of scenarios.entries()) {
    stage.tell("");
    stage.tell(heading(`${at + 1}  ${title}`));
    try {
      await settled(stage);
      await play(stage);
    } catch (error) {
      if (stage.signal.aborted || !(error instanceof CdnError)) throw error;
      failed++;
      stage.tell(yellow(`   failed: ${error.message}`));
    }
  }
  return failed;
}

async function priceRises(stage: Stage): Promise<void> {
  const before = await askAll(stage);
  const from = before.get("price")!.server;
  const dearest = Math.max(...(await explained(stage, "price")).candidates.map(nanoPerGb));
  await withPrice(stage, from, 3 * dearest, async (since) => {
    await moves(stage, "price", from, { since });
    await tellOthers(stage, ["network", "combined"], before);
  });
}

async function linkSlows(stage: Stage): Promise<void> {
  const before = await askAll(stage);
  const from = before.get("network")!.server;
  await withSlowLink(stage, from, async (since) => {
    await moves(stage, "network", from, { since });
    await measured(stage, from);
    await tellOthers(stage, ["price", "combined"], before);
  });
}

async function bothWeighed(stage: Stage): Promise<void> {
  const { server: from } = await ask(stage, "combined");
  const [best, next] = (await explained(stage, "combined")).candidates;
  if (!best || !next) throw new CdnError("there are not two servers to choose from", { source: "server" });
  // By how much the best one's bytes may become dearer until the next one is as good.
  const room = (next.score - best.score) / stage.photo.bytes * 1e9;
  const price = nanoPerGb(best);
  await withPrice(stage, from, price + 0.4 * room, async () => {
    const { server } = await ask(stage, "combined");
    const why = await explained(stage, "combined");
    stage.row("combined", change(from, server), server === from ? `its time is worth it: ${figures(why)}` : told(why));
    if (server !== from) return;
    await withPrice(stage, from, price + Math.max(2.5 * room, price / 2), async (since) => {
      const to = await moves(stage, "combined", from, { since });
      await withSlowLink(stage, to, (since) => moves(stage, "combined", to, { since }));
    });
  });
}

async function serverDies(stage: Stage): Promise<void> {
  const { world, film, signal } = stage;
  const { path, sha256, bytes } = film;
  const choices = await Promise.all(POLICIES.map(async (policy) => {
    await introduce(stage, policy, film);
    return { policy, chosen: (await explained(stage, policy, film)).chosen };
  }));
  const victim = choices.find(({ policy }) => policy === "combined")!.chosen;
  const policies = choices.filter(({ chosen }) => chosen === victim).map(({ policy }) => policy);
  stage.tell(`   ${victim} sends ${path} (${sizeText(bytes)}) through ${policies.join(", ")}; then: kill -9`);

  const enough = bytes / 4;
  const reached = new Map<Policy, number>();
  const killed = Promise.withResolvers<void>();
  const begun = policies.map((policy) =>
    download(world.proxyUrl(policy), path, {
      signal,
      onBytes(count) {
        reached.set(policy, count);
        const least = Math.min(...policies.map((one) => reached.get(one) ?? 0));
        stage.status(`downloading: ${Math.floor(least / bytes * 100)} %`);
        if (least >= enough && world.cloud(victim).program) world.kill(victim).then(killed.resolve, killed.reject);
      },
    })
  );
  try {
    const whole = await Promise.all([killed.promise, ...begun]).then(([, ...answers]) => answers);
    for (const [at, answer] of whole.entries()) {
      if (answer.sha256 !== sha256) {
        throw new CdnError(`what came through ${policies[at]} is not the file that was uploaded`, { source: "server" });
      }
    }
    stage.tell(
      green(`   ${victim} is dead, and the download${whole.length > 1 ? "s are" : " is"} whole: `) +
        dim(`the SHA-256 is ${sha256.slice(0, 12)}…`),
    );
    for (const policy of policies) await moves(stage, policy, victim, { what: film });
  } finally {
    await Promise.allSettled(begun);
    if (!signal.aborted) await world.revive(victim);
  }
  await until(stage, `the proxies to take ${victim} back`, async () => {
    const known = await Promise.all(POLICIES.map((policy) => explained(stage, policy)));
    return known.every(({ candidates }) => candidates.find(({ id }) => id === victim)?.excluded === "") || null;
  });
  stage.tell(dim(`   ${victim} is started again with what it had on disk, and considered again`));
}

/** Waits until the proxies' figures are close to what the links are set to; goes on where that takes too long. */
async function settled(stage: Stage): Promise<void> {
  const what = "the proxies to measure the links";
  await until(stage, what, async () => {
    const known = await Promise.all(POLICIES.map((policy) => explained(stage, policy)));
    return known.every(({ candidates, prices }) =>
      prices === "fresh" && candidates.length === stage.world.clouds.length &&
      candidates.every(({ id, excluded, rttMs, bytesPerSecond, priceConfidence }) => {
        const { shape } = stage.world.cloud(id).link;
        return excluded === "" && priceConfidence !== "none" && isClose(rttMs, shape.rttMs) &&
          isClose(bytesPerSecond, shape.bytesPerSecond);
      })
    ) || null;
  }).catch((error) => {
    if (stage.signal.aborted) throw error;
    stage.tell(dim("   (this machine is busy: some figures are off by more than a fifth)"));
  });
}

/**
 * Asks until a policy's proxy answers from elsewhere, and tells why it does; resolves to where it went.
 * @param since when the change was made that should move it, on the clock of `performance.now()`
 */
async function moves(
  stage: Stage,
  policy: Policy,
  from: string,
  { what = stage.photo, since }: { what?: Uploaded; since?: number },
): Promise<string> {
  const { to, why } = await until(stage, `the ${policy} policy to leave ${from}`, async () => {
    // A large file from where it is slow now would take longer than it takes the probes to tell.
    if (what.bytes > MOST_ASKED && (await explained(stage, policy, what)).chosen === from) return null;
    const { server: to } = await ask(stage, policy, what);
    const why = await explained(stage, policy, what);
    return to !== from && why.chosen === to ? { to, why } : null;
  });
  const after = since === undefined ? "" : ` ${dim(`after ${msText(performance.now() - since)}`)}`;
  stage.row(policy, change(from, to) + after, told(why));
  return to;
}

/** Tells of policies that may or may not have moved: what counts for them may not have changed. */
async function tellOthers(stage: Stage, policies: Policy[], before: Map<Policy, Answer>): Promise<void> {
  for (const policy of policies) {
    const from = before.get(policy)!.server;
    // A measurement may come between an answer and its explanation: then it is asked again.
    const { to, why } = await until(stage, `the ${policy} policy to make up its mind`, async () => {
      const { server: to } = await ask(stage, policy);
      const why = await explained(stage, policy);
      return why.chosen === to ? { to, why } : null;
    });
    stage.row(policy, change(from, to), told(why));
  }
}

/** What is done while something is changed. @param since when it was changed, as `performance.now()` tells it */
type During = (since: number) => Promise<unknown>;

/** Changes a server's price while `during` runs. */
async function withPrice(stage: Stage, id: string, nano: number, during: During): Promise<void> {
  const { world } = stage;
  const { place } = world.cloud(id);
  const sheet = await getSheet(world.peers, world.pricing.url, place);
  const now = nanoPerGb((await explained(stage, "price")).candidates.find((candidate) => candidate.id === id)!);
  stage.tell(`   ${id}'s price goes from ${gbPriceText(now)} to ${gbPriceText(nano)} a GB`);
  const since = performance.now();
  await putSheet(world.peers, world.pricing.url, flatSheet(sheet, BigInt(Math.round(nano))));
  try {
    await heard(stage, id, Math.round(nano));
    await during(since);
  } finally {
    if (!stage.signal.aborted) {
      await putSheet(world.peers, world.pricing.url, sheet);
      await heard(stage, id, now);
    }
  }
}

/** Waits until every proxy knows a server's price, in nano-dollars a GB. */
async function heard(stage: Stage, id: string, nano: number): Promise<void> {
  await until(stage, "the proxies to hear of the price", async () => {
    const known = await Promise.all(POLICIES.map((policy) => explained(stage, policy)));
    return known.every(({ candidates }) =>
      candidates.some((candidate) => candidate.id === id && nanoPerGb(candidate) === nano)
    ) || null;
  });
}

/** Waits until every proxy has found out how far a server is now. */
async function measured(stage: Stage, id: string): Promise<void> {
  const { rttMs } = stage.world.cloud(id).link.shape;
  await until(stage, "the proxies to measure the link", async () => {
    const known = await Promise.all(POLICIES.map((policy) => explained(stage, policy)));
    return known.every(({ candidates }) =>
      candidates.some((candidate) => candidate.id === id && isClose(candidate.rttMs, rttMs))
    ) || null;
  });
}

/** Slows a server's link while `during` runs. */
async function withSlowLink(stage: Stage, id: string, during: During): Promise<void> {
  const { link } = stage.world.cloud(id);
  const { shape } = link;
  const slow = { rttMs: Math.max(400, 5 * shape.rttMs), bytesPerSecond: Math.round(shape.bytesPerSecond / 10) };
  stage.tell(
    `   ${id}'s link goes from ${msText(shape.rttMs)}, ${rateText(shape.bytesPerSecond)} ` +
      `to ${msText(slow.rttMs)}, ${rateText(slow.bytesPerSecond)}`,
  );
  const since = performance.now();
  link.reshape(slow);
  try {
    await during(since);
  } finally {
    link.reshape(shape);
  }
}

/** Asks a policy's proxy for a file, and checks that it is that file. */
async function ask({ world, photo, signal }: Stage, policy: Policy, what: Uploaded = photo): Promise<Answer> {
  const answer = await download(world.proxyUrl(policy), what.path, { signal });
  if (answer.sha256 === what.sha256) return answer;
  throw new CdnError(`what ${answer.server} sent for ${what.path} is not what was uploaded`, { source: "server" });
}

/** A proxy decides for as many bytes as it has seen a path to have: so it is shown them. */
async function introduce({ world, signal }: Stage, policy: Policy, { path }: Uploaded): Promise<void> {
  const answer = await fetch(world.proxyUrl(policy) + encodePath(path), { method: "HEAD", signal });
  await answer.body?.cancel();
}

async function askAll(stage: Stage): Promise<Map<Policy, Answer>> {
  const answers = new Map<Policy, Answer>();
  for (const policy of POLICIES) answers.set(policy, await ask(stage, policy));
  return answers;
}

function explained({ world, photo }: Stage, policy: Policy, what: Uploaded = photo): Promise<wire.Explanation> {
  return explain(world.peers, world.proxyUrl(policy), what.path);
}

/** Calls `look` until it finds something. */
async function until<T>(stage: Stage, what: string, look: () => Promise<T | null>): Promise<T> {
  const begun = performance.now();
  for (;;) {
    const found = await look();
    if (found !== null) {
      stage.status("");
      return found;
    }
    const waited = performance.now() - begun;
    if (waited > stage.patienceMs) {
      throw new CdnError(`waited ${msText(waited)} for ${what}, in vain`, { source: "server" });
    }
    stage.status(`waiting for ${what}: ${(waited / 1000).toFixed(0)} s`);
    await pause(200, stage.signal);
  }
}

/** @throws the signal's reason where it aborts */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", leave);
      resolve();
    }, ms);
    signal.addEventListener("abort", leave, { once: true });
  });
}

/** Within a fifth. */
function isClose(measured: number, set: number): boolean {
  return Math.abs(measured / set - 1) <= 0.2;
}

function change(from: string, to: string): string {
  return from === to ? `${from} stays` : `${from} ${green("→")} ${bold(to)}`;
}

/** The proxy's own reason, and the figures behind it. */
function told(explanation: wire.Explanation): string {
  return `${explanation.reason} (${figures(explanation)})`;
}

function nanoPerGb({ egressNanoPerGb, serverNanoPerGb }: wire.Candidate): number {
  return egressNanoPerGb + serverNanoPerGb;
}
