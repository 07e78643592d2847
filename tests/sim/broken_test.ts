/** Each guard is broken once: a simulation that does not notice would prove nothing. */
import { assert, assertArrayIncludes, assertEquals } from "@std/assert";
import { Breach, type Rule } from "./invariants.ts";
import { planOf } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";
import { type Variant, variants } from "./variants.ts";

/** Within how many seeds it must be found, and by which rules. */
const broken: Record<Exclude<Variant, "right">, { within: number; by: Rule[] }> = {
  "lying-disk": { within: 3, by: ["durable"] },
  "rot-unseen": { within: 60, by: ["true bytes", "equal", "readable"] },
  "digest-unchecked": { within: 60, by: ["true bytes", "equal"] },
  "one-copy": { within: 5, by: ["durable"] },
  "no-tombstone": { within: 5, by: ["durable"] },
  "held-too-early": { within: 40, by: ["durable"] },
  "no-repair": { within: 5, by: ["equal", "known"] },
};

for (const [variant, { within, by }] of Object.entries(broken)) {
  Deno.test(`${variant} is found out within ${within} stories`, async () => {
    for (let seed = 1; seed <= within; seed++) {
      const { failure } = await simulate(seed, variants[variant as Variant]);
      if (!failure) continue;
      assert(failure instanceof Breach, failure.stack);
      assertArrayIncludes(by, [failure.rule], failure.message);
      return;
    }
    throw new Error(`${variant} was not found out in ${within} stories`);
  });
}

Deno.test("a failing story is made shorter, and still fails for the same reason", async () => {
  const acts = (plan: ReturnType<typeof planOf>) => plan.rounds.flatMap(({ acts }) => acts);
  const fails = async (plan: ReturnType<typeof planOf>) => {
    const { failure } = await simulate(2, { ...variants["no-tombstone"], plan });
    return failure instanceof Breach && failure.rule === "durable";
  };
  const plan = await shrink(planOf(2), fails);
  assert(await fails(plan));
  // What is needed is an object, and its delete.
  assertEquals(acts(plan).map((act) => act.do), ["put", "delete"]);
});
