/** The door that viewers come by: the front with `Deno.serve` behind it, or `Deno.serve` alone. */
import { type Handler, listen, type ListenAddress, type Listening } from "../runtime/listen.ts";
import { openFront } from "../runtime/front/mod.ts";
import type { Logger } from "../runtime/log.ts";
import type { TlsSource } from "../runtime/tls_source.ts";
import type { Core } from "./core.ts";
import { frontOf } from "./front.ts";
import type { ProxySettings } from "./settings.ts";

/** What is behind a door. */
export interface DoorOptions {
  core: Core;
  handler: Handler;
  settings: ProxySettings;
  log: Logger;
  token: string | null;
  reusePort?: boolean;
  /** With it viewers are answered over TLS. */
  tls?: TlsSource | null;
}

/** Listens. @throws {CdnError} where that is not possible there */
export function openDoor(address: ListenAddress, { core, handler, settings, ...rest }: DoorOptions): Listening {
  if (!settings.front) return listen(address, handler, rest);
  // An upload's answer may take as long as its server may: that is no idle connection.
  const tunnelIdleMs = Math.max(settings.tunnelIdleMs, 2 * settings.headTimeoutMs);
  return openFront(address, { application: frontOf(core), handler, limits: { ...settings, tunnelIdleMs }, ...rest });
}
