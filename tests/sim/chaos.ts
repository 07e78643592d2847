/** `deno task chaos`: thousands of stories of failing servers, each from a seed; or one, told in full. */
import { choiceFlag, type CommandSpec, numberFlag, parseCommand, switchFlag, UsageError } from "../../runtime/flags.ts";
import type { Report } from "./chaos_worker.ts";
import { planOf } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";
import { type Variant, variantNames, variants } from "./variants.ts";

const flags = {
  seeds: numberFlag("COUNT", 200, "how many stories", { least: 1, most: 10_000_000 }),
  from: numberFlag("SEED", 1, "the first of their seeds"),
  jobs: numberFlag("COUNT", 2, "how many are played at once", { least: 1, most: 64 }),
  seed: numberFlag("SEED", -1, "play this one, and print what happens", { least: -1 }),
  messages: switchFlag("with --seed: print each message too"),
  shrink: switchFlag("with --seed: leave out whatever it fails without"),
  variant: choiceFlag(variantNames, "right", "break one guard on purpose"),
};

const spec: CommandSpec<typeof flags> = {
  name: "chaos",
  summary: "Play stories of failing servers on a simulated network, clock and disk",
  flags: { ...flags, seed: { ...flags.seed, fallbackText: "none" } },
  examples: [
    ["deno task chaos --seeds 1000", "a thousand stories; ends with status 1 at the first that breaks a rule"],
    ["deno task chaos --seed 42", "one story, told line by line"],
    ["deno task chaos --seed 42 --shrink", "the same, without what does not matter"],
  ],
};

async function chaos(argv: readonly string[]): Promise<number> {
  const parsed = parseCommand(spec, argv, { env: () => undefined, readTextFile: Deno.readTextFileSync });
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { seed, seeds, from, jobs, variant, messages } = parsed.flags;
  return seed >= 0
    ? await tell(seed, variant, { verbose: messages, short: parsed.flags.shrink })
    : await play({ seeds, from, jobs, variant });
}

/** One story, with its transcript. */
async function tell(
  seed: number,
  variant: Variant,
  { verbose, short }: { verbose: boolean; short: boolean },
): Promise<number> {
  let plan = planOf(seed);
  if (short) {
    const rule = (failure: Error | null) => failure && failure.message.split(":")[0];
    const first = rule((await simulate(seed, variants[variant])).failure);
    if (first) {
      plan = await shrink(
        plan,
        async (plan) => rule((await simulate(seed, { ...variants[variant], plan })).failure) === first,
      );
    }
  }
  const { transcript, failure, digest, events, virtualMs, traffic } = await simulate(seed, {
    ...variants[variant],
    verbose,
    plan,
  });
  console.log(String(transcript));
  for (const [path, { messages, bytes, bodyBytes }] of traffic) {
    console.log(`${path}: ${messages} messages of ${bytes} B, ${bodyBytes} B of bodies`);
  }
  console.log(`${events} events in ${(virtualMs / 1000).toFixed(1)} s; digest ${digest}`);
  if (!failure) return 0;
  console.error(failure.stack);
  return 1;
}

/** Many stories, on several workers; the failing one of the least seed is named. */
async function play(
  { seeds, from, jobs, variant }: { seeds: number; from: number; jobs: number; variant: Variant },
): Promise<number> {
  const startMs = performance.now();
  const failures: Report[] = [];
  const sum = { played: 0, events: 0, virtualMs: 0, messages: 0 };
  let next = from;
  await Promise.all(Array.from({ length: Math.min(jobs, seeds) }, () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("./chaos_worker.ts", import.meta.url), { type: "module" });
      const order = () => {
        if (next < from + seeds && failures.length === 0) return worker.postMessage({ seed: next++, variant });
        worker.terminate();
        resolve();
      };
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }: MessageEvent<Report>) => {
        if (data.failure !== null) failures.push(data);
        sum.played++;
        sum.events += data.events;
        sum.virtualMs += data.virtualMs;
        sum.messages += data.messages;
        order();
      };
      order();
    })));
  const seconds = (performance.now() - startMs) / 1000;
  console.log(
    `${sum.played} stories in ${seconds.toFixed(1)} s (${(seconds * 1000 / sum.played).toFixed(0)} ms each): ` +
      `${(sum.virtualMs / 3_600_000).toFixed(1)} hours of ${sum.events} events and ${sum.messages} messages`,
  );
  const [first] = failures.sort((a, b) => a.seed - b.seed);
  if (!first) return 0;
  console.error(`seed ${first.seed} breaks a rule: ${first.failure}`);
  console.error(`Replay it: deno task chaos --seed ${first.seed}${variant === "right" ? "" : ` --variant ${variant}`}`);
  return 1;
}

if (import.meta.main) {
  try {
    Deno.exit(await chaos(Deno.args));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`chaos: ${error.message} (see deno task chaos --help)`);
    Deno.exit(2);
  }
}
