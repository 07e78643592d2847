/** One seed, one story, one outcome. */
import { type Plan, planOf } from "./plan.ts";
import { Story, type StoryOptions } from "./story.ts";
import { Transcript } from "./transcript.ts";
import { onlyVirtual, World } from "./world.ts";

/** What came of a seed. */
export interface Outcome {
  /** Null where nothing was broken. */
  failure: Error | null;
  transcript: Transcript;
  /** Of all that happened: the same for each run of the same code. */
  digest: string;
  /** How many events, and how much virtual time. */
  events: number;
  virtualMs: number;
  /** Messages and bytes on each line. */
  traffic: Map<string, { messages: number; bytes: number; bodyBytes: number }>;
}

/** Plays the story of a seed, or another plan. It never rejects: what is broken is the outcome. */
export async function simulate(
  seed: number,
  { verbose = false, plan = planOf(seed), ...options }: StoryOptions & { verbose?: boolean; plan?: Plan },
): Promise<Outcome> {
  const world = new World();
  const transcript = new Transcript(() => world.nowMs, verbose);
  const story = new Story(plan, world, transcript, options);
  const giveBack = onlyVirtual((error) => world.fail(error));
  let failure: Error | null = null;
  try {
    await story.play();
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    transcript.note("--", `BROKEN ${failure.message}`);
  } finally {
    giveBack();
  }
  const { nowMs: virtualMs, events } = world;
  const traffic = new Map(story.net.links.traffic());
  return { failure, transcript, digest: transcript.digest(), events, virtualMs, traffic };
}
