/** Squid as an accelerator, with its memory cache. */
import { join } from "@std/path";
import type { CacheProgram } from "./cache.ts";

/** Squid. */
export const squid: CacheProgram = {
  name: "squid",
  title: "Squid",
  command: "squid",
  version: { args: ["-v"], pattern: /Version (\S+)/ },
  async setUp({ dir, port, origin }) {
    const config = join(dir, "squid.conf");
    await Deno.writeTextFile(
      config,
      `http_port 127.0.0.1:${port} accel defaultsite=localhost no-vhost
cache_peer 127.0.0.1 parent ${origin} 0 no-query no-digest originserver default login=PASSTHRU name=origin
cache_peer_access origin allow all
http_access allow all
cache_mem 256 MB
refresh_pattern . 0 20% 4320
minimum_expiry_time 0 seconds
connect_retries 3
shutdown_lifetime 1 second
pinger_enable off
pid_filename none
cache_log ${dir}/cache.log
access_log none
cache_store_log none
coredump_dir ${dir}
visible_hostname squid.test
`,
    );
    return ["-N", "-f", config];
  },
};
