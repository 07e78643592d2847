/** `metacdn prices`: reads and changes the price sheets of a pricing server. */
import { jsonCodec, wire } from "../proto/mod.ts";
import { confidenceText, moneyText, sizeText, unitText } from "../pricing/mod.ts";
import { readAll } from "../runtime/body.ts";
import { type CommandInput, parseCommand, stringFlag, urlFlag, UsageError } from "../runtime/flags.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { readToken } from "../runtime/secrets.ts";
import { clientFlags, openTrust } from "./ca.ts";
import { columns } from "./table.ts";

const flags = {
  pricing: urlFlag("http://127.0.0.1:8090", "the pricing server"),
  file: stringFlag("FILE", null, "for set: the sheet as JSON, in place of the one that is there"),
  ...clientFlags,
};

const spec = {
  name: "prices",
  summary: "Reads and changes the price sheets of a pricing server.",
  flags,
  positional: { placeholder: "[list | get PLACE | set PLACE [FIELD=VALUE…] | delete PLACE | history PLACE]", least: 0 },
  examples: [
    ["metacdn prices", "all sheets, a line each"],
    ["metacdn prices get aws/us-east-1", "one sheet as JSON"],
    ["metacdn prices set aws/us-east-1 serverNanoPerHour=41600000", "change a field; nobody else's change is lost"],
    ["metacdn prices set our-colo/fra --file sheet.json", "write a whole sheet"],
  ] as [string, string][],
  notes: ["PLACE is PROVIDER/REGION. The fields are those of docs/pricing.md; a VALUE is JSON, or else plain text."],
};

type Sheets = ReturnType<typeof sheetsOf>;

/** Does one action; resolves to the exit status. */
export async function prices(
  argv: readonly string[],
  input: CommandInput,
  print: (line: string) => void = console.log,
): Promise<number> {
  const command = parseCommand(spec, argv, input);
  if (command.help !== null) {
    print(command.help);
    return 0;
  }
  const { pricing, file, "token-file": tokenFile, ca } = command.flags;
  const [action = "list", place, ...changes] = command.args;
  const token = readToken(tokenFile, input);
  using trust = openTrust(ca, [pricing]);
  const sheets = sheetsOf(new PeerClient({ token, fetch: trust.fetch, source: "pricing" }), pricing);
  if (action === "list") {
    if (place !== undefined) throw new UsageError("list takes no place: get shows one sheet");
    for (const line of table(await sheets.list())) print(line);
    return 0;
  }
  if (!["get", "set", "delete", "history"].includes(action)) {
    throw new UsageError(`"${action}" is not an action; there are list, get, set, delete and history`);
  }
  if (!/^[^/\s]+\/[^/\s]+$/.test(place ?? "")) {
    throw new UsageError(`${action} takes a PROVIDER/REGION, such as aws/us-east-1`);
  }
  if (action !== "set" && (changes.length > 0 || file !== null)) throw new UsageError(`${action} changes no field`);
  const path = place!.split("/").map(encodeURIComponent).join("/");
  if (action === "get") print(pretty((await sheets.get(path)).text));
  if (action === "history") print(pretty((await sheets.get(`${path}/history`)).text));
  if (action === "delete") await sheets.delete(path);
  if (action === "set") print(pretty(await set(sheets, path, { file, changes, input })));
  return 0;
}

/** With a file: the whole sheet. Without: the sheet that is there with some fields changed, if it is still that one. */
async function set(
  sheets: Sheets,
  path: string,
  { file, changes, input }: { file: string | null; changes: string[]; input: CommandInput },
): Promise<string> {
  const fields = Object.fromEntries(changes.map(fieldOf));
  if (file === null && changes.length === 0) throw new UsageError("set takes FIELD=VALUE, or --file FILE");
  if (file === null) {
    const { text, etag } = await sheets.get(path);
    return await sheets.put(path, { ...JSON.parse(text), ...fields }, etag);
  }
  let sheet: unknown;
  try {
    sheet = JSON.parse(input.readTextFile(file));
  } catch (error) {
    throw new UsageError(`--file: cannot read ${file}: ${(error as Error).message}`);
  }
  if (typeof sheet !== "object" || sheet === null || Array.isArray(sheet)) {
    throw new UsageError(`--file: ${file} must have one JSON object, a price sheet`);
  }
  return await sheets.put(path, { ...sheet, ...fields }, null);
}

function fieldOf(text: string): [string, unknown] {
  const match = /^([A-Za-z]\w*)=(.*)$/s.exec(text);
  if (!match) throw new UsageError(`"${text}" must be FIELD=VALUE`);
  const [, name, value] = match as unknown as [string, string, string];
  // A date such as 2026-11 and a price such as 41600000 are texts in ProtoJSON; tiers are a list.
  return [name, /^[[{]/.test(value) ? json(name, value) : value];
}

function json(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${name} must be JSON: ${(error as Error).message}`);
  }
}

/** The endpoints that are used here. Each throws a `CdnError` with the server's own words. */
function sheetsOf(client: PeerClient, server: string) {
  const url = (path: string) => `${server}/-/v1/prices${path && `/${path}`}`;
  const text = async (response: Response) => new TextDecoder().decode(await readAll(response, { limit: 16 << 20 }));
  return {
    list: async (): Promise<wire.Sheet[]> => (await client.ask(url(""), wire.SheetListSchema)).sheets,
    async get(path: string): Promise<{ text: string; etag: string | null }> {
      const response = await client.send({ url: url(path) });
      return { text: await text(response), etag: response.headers.get("etag") };
    },
    async put(path: string, sheet: object, etag: string | null): Promise<string> {
      return await text(
        await client.send({
          method: "PUT",
          url: url(path),
          headers: { "content-type": jsonCodec.mediaType, ...(etag === null ? {} : { "if-match": etag }) },
          body: new TextEncoder().encode(JSON.stringify(sheet)),
        }),
      );
    },
    delete: async (path: string): Promise<void> => {
      await (await client.send({ method: "DELETE", url: url(path) })).body?.cancel();
    },
  };
}

/** A line a sheet, in columns. */
function table(sheets: wire.Sheet[]): string[] {
  const rows = sheets.map((sheet) => [
    `${sheet.provider}/${sheet.region}`,
    sheet.freeBytes === 0n ? "" : `${sizeText(sheet.freeBytes)} free`,
    sheet.tiers.map(({ nanoPerUnit }) => moneyText(nanoPerUnit, sheet.currency)).join(", ") +
    ` by the ${unitText(sheet)}`,
    confidenceText(sheet),
    sheet.asOf,
    sheet.updatedBy,
  ]);
  return columns([], rows);
}

function pretty(text: string): string {
  return JSON.stringify(JSON.parse(text), null, 2);
}
