/** `metacdn up` as a newcomer runs it: the scenarios, the figures of its table against curl, and how it ends. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { wire } from "../../proto/mod.ts";
import { PeerClient } from "../../runtime/peer_client.ts";
import { plainEnv, Running } from "../cli/program.ts";

const PATIENCE_MS = 240_000;

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-scenario-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A process by its id and its command line, so that a reused id is not taken for it. */
type Process = string;

/** All that run. (`ps`, because Deno gives nobody a look into /proc without all permissions.) */
async function processes(): Promise<{ pid: string; parent: string; process: Process }[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-A", "-o", "pid=,ppid=,stat=,args="] }).output();
  return new TextDecoder().decode(stdout).trim().split("\n").flatMap((line) => {
    const [pid, parent, state, ...words] = line.trim().split(/\s+/) as [string, string, string];
    return state.startsWith("Z") ? [] : [{ pid, parent, process: `${pid} ${words.join(" ")}` }];
  });
}

/** Those below `pid`. */
async function descendants(pid: number): Promise<Process[]> {
  const all = await processes();
  const found: Process[] = [];
  for (const below = [String(pid)]; below.length;) {
    const parent = below.pop()!;
    for (const child of all.filter((one) => one.parent === parent)) {
      below.push(child.pid);
      found.push(child.process);
    }
  }
  return found;
}

/** Waits until none of them runs. */
async function allGone(these: readonly Process[]): Promise<void> {
  const end = Date.now() + 20_000;
  for (;;) {
    const alive = await processes();
    const left = these.filter((one) => alive.some(({ process }) => process === one));
    if (left.length === 0) return;
    assert(Date.now() < end, `still running: ${left.join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The lines of one scenario. */
function part(output: string, number: number): string {
  const text = output.split(/^(?=\d {2}\S)/m).find((one) => one.startsWith(`${number}  `));
  assert(text, `no scenario ${number} in:\n${output}`);
  return text;
}

/** Where a policy's proxy answered from before and after, and why, in the first such row of a scenario. */
function row(text: string, policy: string): { from: string; to: string; why: string } {
  const moved = new RegExp(`^   ${policy} +(\\w+) → (\\w+)(?: after [\\d.]+ m?s)?  (.*)$`, "m").exec(text);
  if (moved) return { from: moved[1]!, to: moved[2]!, why: moved[3]! };
  const stayed = new RegExp(`^   ${policy} +(\\w+) stays  (.*)$`, "m").exec(text);
  assert(stayed, `no row for ${policy} in:\n${text}`);
  return { from: stayed[1]!, to: stayed[1]!, why: stayed[2]! };
}

/** What the four scenarios must have told. */
function checkScenarios(output: string): void {
  assertStringIncludes(output, "4 of 4 scenarios went as they should");
  const rises = part(output, 1);
  const price = row(rises, "price");
  assert(price.from !== price.to, rises);
  assertMatch(rises, new RegExp(`${price.from}'s price goes from`));
  assertStringIncludes(price.why, `${price.to} has the lowest price.`);
  const network = row(rises, "network");
  assertStringIncludes(network.why, `${network.to} is predicted to be the fastest.`);

  const slows = part(output, 2);
  const fast = row(slows, "network");
  assert(fast.from !== fast.to, slows);
  assertMatch(slows, new RegExp(`${fast.from}'s link goes from`));
  assertStringIncludes(fast.why, `${fast.to} is predicted to be the fastest.`);
  assertStringIncludes(row(slows, "price").why, "has the lowest price.");

  const weighed = part(output, 3);
  assertMatch(weighed, /^ {3}combined +\w+ → \w+ .*has the lowest sum of price and time/m);

  const dies = part(output, 4);
  const [, victim, through] = /^ {3}(\w+) sends \/film\.bin .* through (.*); then: kill -9$/m.exec(dies)!;
  assertMatch(dies, new RegExp(`${victim} is dead, and the downloads? (is|are) whole`));
  for (const policy of through!.split(", ")) {
    const { from, to, why } = row(dies, policy);
    assertEquals(from, victim);
    assert(to !== victim, dies);
    assertStringIncludes(why, `Not considered: ${victim}.`);
  }
  assertStringIncludes(dies, `${victim} is started again`);
}

Deno.test("up --once: the same request goes elsewhere under each policy, then all of it ends with 0", async () => {
  await withFolder(async (folder) => {
    // In a folder of its own: it must work from anywhere, and leave nothing there.
    await using program = new Running("up", ["--once", "--port-base", "0"], { cwd: folder });
    await program.line(/^listening http/m, PATIENCE_MS);
    const children = await descendants(program.pid);
    assert(children.length >= 7, `${children.length} processes`);
    assertEquals(await program.status(), 0, program.stdout + program.stderr);
    checkScenarios(program.stdout);
    await allGone(children);
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("up: round trips and rates agree with curl within a fifth; SIGTERM ends it with 0", async () => {
  await withFolder(async (folder) => {
    const data = `${folder}/data`;
    await using program = new Running("up", ["--port-base", "0", "--data", data], { cwd: folder });
    const [, proxy] = await program.line(/^listening (http:\S+)$/m, PATIENCE_MS);
    await program.line(/^It stays up/m, PATIENCE_MS);
    checkScenarios(program.stdout);

    let report = "";
    const agrees = async () => {
      const { candidates } = await new PeerClient().ask(`${proxy}/-/explain?path=/evening.jpg`, wire.ExplanationSchema);
      assertEquals(candidates.length, 3);
      const ratios: number[] = [];
      for (const { id, url, rttMs, bytesPerSecond } of candidates) {
        const seen = await curl(url, "/evening.jpg");
        ratios.push(seen.rttMs / rttMs, seen.bytesPerSecond / bytesPerSecond);
        report += `${id}: table ${rttMs.toFixed(1)} ms, ${(bytesPerSecond / 1e6).toFixed(2)} MB/s; ` +
          `curl ${seen.rttMs.toFixed(1)} ms, ${(seen.bytesPerSecond / 1e6).toFixed(2)} MB/s\n`;
      }
      return ratios.every((ratio) => ratio >= 0.8 && ratio <= 1.2);
    };
    // Other work on this machine disturbs either side: what is asked is that they agree when it is calm.
    let agreed = false;
    for (let attempt = 0; !agreed && attempt < 20; attempt++) {
      agreed = await agrees();
      if (!agreed) await new Promise((resolve) => setTimeout(resolve, 1500));
    }
    assert(agreed, report);

    const children = await descendants(program.pid);
    program.signal("SIGTERM");
    assertEquals(await program.status(), 0, program.stderr);
    await allGone(children);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["data"]);
    assert(![...Deno.readDirSync(data)].some(({ name }) => name.startsWith("pricing-")));
  });
});

Deno.test("up: no child outlives it, even when it is killed in the middle of a scenario", async () => {
  await withFolder(async (folder) => {
    await using program = new Running("up", ["--port-base", "0", "--data", folder]);
    await program.line(/^1 {2}A price rises$/m, PATIENCE_MS);
    const children = await descendants(program.pid);
    assert(children.length >= 7, `${children.length} processes`);
    program.signal("SIGKILL");
    await program.status();
    await allGone(children);
  });
});

/** What curl sees on one connection: a small request's round trip, and the rate of a body after its head. */
async function curl(server: string, path: string): Promise<{ rttMs: number; bytesPerSecond: number }> {
  const format = "%{time_starttransfer} %{time_total} %{size_download}\\n";
  const urls = [`${server}/-/healthz`, `${server}/-/healthz`, server + path];
  const { code, stdout } = await new Deno.Command("curl", {
    args: ["-sS", "-w", format, ...urls.flatMap((url) => ["-o", "/dev/null", url])],
    env: plainEnv,
  }).output();
  assertEquals(code, 0);
  const lines = new TextDecoder().decode(stdout).trim().split("\n").map((line) => line.split(" ").map(Number));
  const [, [warmHead], [head, total, size]] = lines as [number[], number[], number[]];
  return { rttMs: warmHead! * 1000, bytesPerSecond: size! / (total! - head!) };
}
