/** The caches that the suite runs against. */
import type { CacheProgram } from "./cache.ts";
import { httpd } from "./httpd.ts";
import { metacdn } from "./metacdn.ts";
import { nginx } from "./nginx.ts";
import { squid } from "./squid.ts";
import { trafficserver } from "./trafficserver.ts";
import { varnish } from "./varnish.ts";
export { type CacheProgram, type RunningCache, startCache, versionOf } from "./cache.ts";

/** Ours first, then its peers from Debian. */
export const caches: readonly CacheProgram[] = [metacdn, nginx, squid, varnish, httpd, trafficserver];
