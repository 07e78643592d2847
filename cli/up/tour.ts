/** What a newcomer can try while everything runs. */
import { bold, dim } from "@std/fmt/colors";
import { encodePath } from "../../proto/mod.ts";
import { heading } from "./table.ts";
import type { World } from "./world.ts";

/** Lines of addresses and commands, each with what it shows. */
export function tour(world: World, path: string): string[] {
  const url = encodePath(path);
  const [combined, network, price] = (["combined", "network", "price"] as const).map((one) => world.proxyUrl(one));
  const [{ link, place }] = world.clouds as [typeof world.clouds[0] & object];
  const sheet =
    `{"unitBytes":"1000000000","tiers":[{"nanoPerUnit":"500000000"}],"pool":"REGION","confidence":"LOW","asOf":"2026"}`;
  const rows: [what: string, line: string][] = [
    ["the file, through the proxy (and by network, and by price alone)", `${combined}${url}`],
    ["", `${network}${url}`],
    ["", `${price}${url}`],
    ["why it comes from where it comes from", `${combined}/-/explain?path=${encodeURIComponent(path)}`],
    ["what a server holds", `${link.url}/`],
    ["the prices", `${world.pricing.url}/`],
    ["who answered: Metacdn-Route, Server-Timing, Via", `curl -sI ${combined}${url}`],
    ["as a forward proxy", `curl -sx ${combined} ${link.url}${url} -o /dev/null -D -`],
    ["put something on all three servers", `curl -T FILE ${link.url}/`],
    [
      `make ${place.id} dear, and see the table move`,
      `curl -X PUT -H content-type:application/json -d '${sheet}' ${world.pricing.url}/-/v1/prices/${place.provider}/${place.region}`,
    ],
  ];
  return [
    heading("It stays up. Try:"),
    ...rows.flatMap(([what, line]) => [...(what ? [dim(`   ${what}`)] : []), `     ${bold(line)}`]),
  ];
}
