/** A proxy that listens: alone in this isolate, or with several workers on one port. */
import { noSecrets } from "../runtime/guard.ts";
import { formatAddress, type ListenAddress, type Listening, requireSafeAddress } from "../runtime/listen.ts";
import { silentLogger } from "../runtime/log.ts";
import { createBrain, createProxy, newProxyId, type ProxyOptions } from "./create.ts";
import { openDoor } from "./door.ts";
import { proxySettings } from "./settings.ts";
import type { View } from "./view.ts";
import { Workers } from "./workers.ts";

/** Where and how a proxy listens. */
export interface ServeProxyOptions {
  /** Port 0: any free one. */
  address: ListenAddress;
  /** Isolates that answer; with 1 (the default) this one does. */
  workers?: number;
  /** A new isolate that runs `worker.ts`, where that file lies elsewhere (bundles, tests). */
  spawn?: () => Worker;
}

/** A proxy that listens. */
export interface ServingProxy extends Listening {
  /** What is known now. */
  view(): View;
}

/**
 * Starts a proxy. Servers and prices may come later: until a server is known, requests get a 503.
 * With more than one worker, `openTransport` serves the probes only: workers forward by the raw transport.
 * @throws {CdnError} where it cannot listen there.
 */
export async function serveProxy(
  options: ProxyOptions,
  { address, workers = 1, spawn }: ServeProxyOptions,
): Promise<ServingProxy> {
  const { secrets = noSecrets, log = silentLogger } = options;
  requireSafeAddress(address, secrets.token);
  if (workers === 1) {
    const proxy = createProxy(options);
    const listening = openDoor(address, {
      core: proxy.core,
      handler: proxy.handler,
      settings: proxySettings(options.settings),
      log,
      token: secrets.token,
      tls: options.tls?.viewers ?? null,
    });
    proxy.start(listening.port);
    return {
      url: listening.url,
      port: listening.port,
      view: () => proxy.view(),
      async close(graceMs) {
        await listening.close(graceMs);
        await proxy.close();
      },
    };
  }
  const settings = proxySettings(options.settings);
  const id = options.id ?? newProxyId();
  const brain = createBrain({ ...options, id }, settings);
  const pool = new Workers({
    count: workers,
    address,
    settings,
    secrets,
    pseudonym: id,
    view: () => brain.view(),
    observe: (observation) => brain.observe(observation),
    log,
    ...(options.tls ? { tls: options.tls } : {}),
    ...(spawn ? { spawn } : {}),
  });
  let port: number;
  try {
    port = await pool.start();
  } catch (error) {
    await pool.close(0);
    throw error;
  }
  brain.onView((view) => pool.show(view));
  const { ca, viewers } = options.tls ?? {};
  const ignore = [
    ca?.onChange((ca) => pool.showTls({ ca })),
    viewers?.onChange((viewers) => pool.showTls({ viewers })),
  ];
  brain.start();
  return {
    url: `${viewers ? "https" : "http"}://${formatAddress({ ...address, port })}`,
    port,
    view: () => brain.view(),
    async close(graceMs = 5000) {
      for (const end of ignore) end?.();
      await pool.close(graceMs);
      await brain.close();
    },
  };
}
