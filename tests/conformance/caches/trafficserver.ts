/** Apache Traffic Server, with a run root of its own. */
import { join } from "@std/path";
import type { CacheProgram } from "./cache.ts";

/** Apache Traffic Server. */
export const trafficserver: CacheProgram = {
  name: "trafficserver",
  title: "Traffic Server",
  command: "traffic_server",
  version: { args: ["--version"], pattern: /Traffic Server ([\d.]+)/ },
  async setUp({ dir, port, origin }) {
    const folders = { sysconfdir: "etc", runtimedir: "run", logdir: "log", cachedir: "cache", localstatedir: "var" };
    for (const name of Object.values(folders)) {
      await Deno.mkdir(join(dir, name));
      await Deno.chmod(join(dir, name), 0o777);
    }
    const files: Record<string, string> = {
      "runroot.yaml": [
        ...["prefix: /usr", "exec_prefix: /usr", "bindir: /usr/bin", "sbindir: /usr/sbin"],
        ...Object.entries(folders).map(([key, name]) => `${key}: ${dir}/${name}`),
        "",
      ].join("\n"),
      "etc/records.config": [
        `proxy.config.http.server_ports STRING ${port}:ip-in=127.0.0.1`,
        `proxy.config.admin.user_id STRING ${Deno.uid() === 0 ? "#-1" : ""}`,
        "proxy.config.crash_log_helper STRING NULL",
        "proxy.config.log.logging_enabled INT 0",
        "proxy.config.diags.output.status STRING E",
        "proxy.config.reverse_proxy.enabled INT 1",
        "proxy.config.url_remap.remap_required INT 1",
        "proxy.config.url_remap.pristine_host_hdr INT 1",
        "proxy.config.http.cache.http INT 1",
        "proxy.config.http.cache.required_headers INT 1",
        "proxy.config.http.cache.heuristic_min_lifetime INT 0",
        "proxy.config.http.cache.ignore_client_cc_max_age INT 0",
        "proxy.config.http.insert_response_via_str INT 0",
        "proxy.config.http.insert_age_in_response INT 1",
        "proxy.config.exec_thread.autoconfig INT 0",
        "proxy.config.exec_thread.limit INT 2",
      ].map((line) => `CONFIG ${line}\n`).join(""),
      "etc/remap.config": `map / http://127.0.0.1:${origin}/\n`,
      "etc/storage.config": `${dir}/cache 64M\n`,
      "etc/ip_allow.yaml": "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n",
    };
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(join(dir, name), text);
    return [`--run-root=${dir}/runroot.yaml`];
  },
};
