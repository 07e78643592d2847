/** Plays seeds that `chaos.ts` hands it, one after the other. */
import { simulate } from "./simulate.ts";
import { type Variant, variants } from "./variants.ts";

/** What a worker is told. */
export interface Order {
  seed: number;
  variant: Variant;
}

/** What it tells. */
export interface Report {
  seed: number;
  failure: string | null;
  events: number;
  virtualMs: number;
  messages: number;
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(report: Report): void;
};

scope.onmessage = async ({ data: { seed, variant } }) => {
  const { failure, events, virtualMs, traffic } = await simulate(seed, variants[variant]);
  const messages = [...traffic.values()].reduce((sum, line) => sum + line.messages, 0);
  scope.postMessage({ seed, failure: failure && failure.message, events, virtualMs, messages });
};
