/** The server's door: the front with `Deno.serve` behind it, or `Deno.serve` alone. */
import { type Application, type FrontLimits, openFront } from "../../runtime/front/mod.ts";
import { type Handler, listen, type ListenAddress, type Listening, type ListenOptions } from "../../runtime/listen.ts";

/** Times in milliseconds. A server has 20,000 descriptors here, and each tunnel takes three. */
export const frontDefaults: FrontLimits = {
  mostViewers: 10_000,
  viewerHeadMs: 20_000,
  viewerIdleMs: 60_000,
  // An upload's answer may wait for its copies: that is no idle connection.
  tunnelIdleMs: 300_000,
};

/** What is behind a door. */
export interface ServerDoor extends Omit<ListenOptions, "reusePort"> {
  /** Answers what the front does not. */
  handler: Handler;
  /** What the front answers by; null: there is no front. */
  application: Application | null;
  /** Those that are not the default. */
  limits?: Partial<FrontLimits>;
}

/** Listens. @throws {CdnError} as {@link listen} does */
export function listenServer(address: ListenAddress, { handler, application, limits, ...rest }: ServerDoor): Listening {
  if (!application) return listen(address, handler, rest);
  return openFront(address, { application, handler, limits: { ...frontDefaults, ...limits }, ...rest });
}
