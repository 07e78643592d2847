/** Makes a failing story shorter: what can be left out without making it well is left out. */
import type { Act, Plan } from "./plan.ts";

/**
 * The plan with as few acts as this finds: halves, quarters, … single ones are left out while it still fails
 * (A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002, without the complements).
 */
export async function shrink(plan: Plan, fails: (plan: Plan) => Promise<boolean>): Promise<Plan> {
  let best = plan;
  const count = () => best.rounds.reduce((sum, { acts }) => sum + acts.length, 0);
  for (let size = Math.ceil(count() / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < count();) {
      const less = without(best, at, at + size);
      if (await fails(less)) best = less;
      else at += size;
    }
  }
  return best;
}

/** The plan without the acts from `start` up to but not including `end`, counted over all rounds. */
function without(plan: Plan, start: number, end: number): Plan {
  let at = 0;
  const keep = (_: Act) => {
    const kept = at < start || at >= end;
    at++;
    return kept;
  };
  return { ...plan, rounds: plan.rounds.map((round) => ({ ...round, acts: round.acts.filter(keep) })) };
}
