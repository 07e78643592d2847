/**
 * Flags, their defaults, their checks and their help in one declaration per command.
 *
 * A value comes from the command line, else from the environment (where the flag names a variable),
 * else from `--config FILE` (JSON, keyed by flag), else from the default. All four are checked alike.
 */
import { parseArgs } from "@std/cli/parse-args";
import { isLoopback } from "./guard.ts";
import type { ListenAddress } from "./listen.ts";

/** A wrong command line or config file: one line, exit status 2. */
export class UsageError extends Error {
  override name = "UsageError";

  /** One line, whatever it quotes: control characters become spaces. */
  constructor(message: string, options?: ErrorOptions) {
    super(message.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " "), options);
  }
}

/** One flag: how its text becomes a value, and what help says. */
export interface Flag<T> {
  /** `HOST:PORT`, `N`, …; empty for a switch. */
  placeholder: string;
  help: string;
  /** The default. */
  fallback: T;
  /** Shown for the default where its own text would say little. */
  fallbackText?: string;
  /** May stand several times; each text is one element. */
  repeated?: boolean;
  /** The variable that it may come from. */
  env?: string;
  /** Texts to value. Throws an error whose message says what would be right. */
  parse(texts: string[]): T;
}

/** A set of flags by name. */
// deno-lint-ignore no-explicit-any
export type Flags = Record<string, Flag<any>>;
/** The values of a set of flags. */
export type FlagValues<F extends Flags> = { [Name in keyof F]: F[Name] extends Flag<infer T> ? T : never };

/** One command of the program. */
export interface CommandSpec<F extends Flags> {
  /** `server`, `pricing`, … */
  name: string;
  /** One line. */
  summary: string;
  flags: F;
  /** What stands beside the flags; none unless given. */
  positional?: { placeholder: string; least: number };
  /** Command lines, each with what it does. */
  examples: [line: string, what: string][];
  /** Further paragraphs of help. */
  notes?: string[];
}

/** The outcome of reading a command line. */
export type Parsed<F extends Flags> = { help: string } | { help: null; flags: FlagValues<F>; args: string[] };

interface FlagOptions {
  env?: string;
  fallbackText?: string;
}

function single<T>(
  placeholder: string,
  fallback: T,
  help: string,
  parse: (text: string) => T,
  options: FlagOptions = {},
): Flag<T> {
  return { placeholder, help, fallback, ...options, parse: (texts) => parse(texts.at(-1)!) };
}

/** Any text. */
export function stringFlag<T extends string | null>(
  placeholder: string,
  fallback: T,
  help: string,
  options?: FlagOptions,
): Flag<string | T> {
  return single<string | T>(placeholder, fallback, help, (text) => {
    if (text === "") throw new Error("must not be empty");
    return text;
  }, options);
}

/** Text that a pattern matches. */
export function patternFlag<T extends string | null>(
  placeholder: string,
  fallback: T,
  help: string,
  pattern: RegExp,
  what: string,
): Flag<string | T> {
  return single<string | T>(placeholder, fallback, help, (text) => {
    if (!pattern.test(text)) throw new Error(`must be ${what}`);
    return text;
  });
}

/** Names of servers, providers and regions. */
export function nameFlag<T extends string | null>(placeholder: string, fallback: T, help: string): Flag<string | T> {
  return patternFlag(
    placeholder,
    fallback,
    help,
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    '1 to 64 letters, digits, ".", "-" or "_"',
  );
}

/** A number from `least` to `most`; whole unless `fraction`. */
export function numberFlag(
  placeholder: string,
  fallback: number,
  help: string,
  { least = 0, most = Number.MAX_SAFE_INTEGER, fraction = false }: {
    least?: number;
    most?: number;
    fraction?: boolean;
  } = {},
): Flag<number> {
  return single(placeholder, fallback, help, (text) => {
    const value = Number(text);
    if (!/^-?\d+(\.\d+)?$/.test(text) || value < least || value > most || (!fraction && !Number.isInteger(value))) {
      throw new Error(`must be a ${fraction ? "" : "whole "}number from ${least} to ${most}`);
    }
    return value;
  });
}

const UNITS: Record<string, number> = {
  "": 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** A size in bytes: `1048576`, `4MiB`, `20GB`. */
export function sizeFlag(
  fallbackText: string,
  help: string,
  { least = 1, most = 2 ** 53 - 1 }: { least?: number; most?: number } = {},
): Flag<number> {
  const parse = (text: string) => {
    const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text);
    const unit = match && UNITS[match[2]!];
    const value = unit ? Math.round(Number(match[1]) * unit) : NaN;
    if (!(value >= least && value <= most)) {
      throw new Error(`must be a size such as 4MiB or 20GB, from ${least} to ${most} bytes`);
    }
    return value;
  };
  return single("SIZE", parse(fallbackText), help, parse, { fallbackText });
}

/** One of a few words. */
export function choiceFlag<T extends string>(choices: readonly T[], fallback: T, help: string): Flag<T> {
  return single(choices.join("|"), fallback, help, (text) => {
    if (!(choices as readonly string[]).includes(text)) {
      throw new Error(`must be ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`);
    }
    return text as T;
  });
}

/** On where it stands. */
export function switchFlag(help: string): Flag<boolean> {
  return single("", false, help, (text) => {
    if (text !== "true" && text !== "false") throw new Error("must be true or false");
    return text === "true";
  });
}

/** `HOST:PORT`, `:PORT`, or `PORT` (then on 127.0.0.1). */
export function addressFlag<T extends string | null>(
  fallbackText: T,
  help: string,
): Flag<ListenAddress | (T extends null ? null : never)> {
  const parse = (text: string): ListenAddress => {
    const match = /^(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):)?(\d{1,5})$/.exec(text);
    const port = Number(match?.[2]);
    if (!match || port > 65535) throw new Error("must be HOST:PORT, such as 127.0.0.1:8080 (port 0: any free one)");
    const host = match[1];
    return { hostname: host === undefined ? "127.0.0.1" : host.replace(/^\[(.*)\]$/, "$1") || "0.0.0.0", port };
  };
  type Value = ListenAddress | (T extends null ? null : never);
  if (fallbackText === null) return single<Value>("HOST:PORT", null as Value, help, parse);
  return single<Value>("HOST:PORT", parse(fallbackText), help, parse, { fallbackText });
}

/** One URL of a program of ours: `http://host:port`. */
export function urlFlag<T extends string | null>(fallback: T, help: string, options?: FlagOptions): Flag<string | T> {
  return single<string | T>("URL", fallback, help, parseBaseUrl, options);
}

/** Several URLs of programs of ours, with commas between them or the flag repeated. */
export function urlsFlag(fallback: string[], help: string, options?: FlagOptions): Flag<string[]> {
  return {
    placeholder: "URL[,URL]…",
    help,
    fallback,
    ...options,
    repeated: true,
    parse: (texts) => [...new Set(texts.flatMap((text) => text.split(",")).filter(Boolean).map(parseBaseUrl))],
  };
}

/** Several texts: the flag repeated. */
export function listFlag(
  placeholder: string,
  help: string,
  check: (text: string) => string = (text) => text,
): Flag<string[]> {
  return { placeholder, help, fallback: [], repeated: true, parse: (texts) => texts.map(check) };
}

/** `key=value` pairs: the flag repeated. */
export function pairsFlag(help: string): Flag<Record<string, string>> {
  return {
    placeholder: "KEY=VALUE",
    help,
    fallback: {},
    repeated: true,
    parse: (texts) =>
      Object.fromEntries(texts.map((text) => {
        const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.*)$/.exec(text);
        if (!match) throw new Error('must be KEY=VALUE, the key of letters, digits, ".", "-" and "_"');
        return [match[1]!, match[2]!];
      })),
  };
}

/** `http://host:port` without path, query or credentials; a trailing slash is dropped. */
export function parseBaseUrl(text: string): string {
  const bare = text.replace(/\/$/, "");
  if (!/^https?:\/\/[^/?#@\s]+$/.test(bare) || !URL.canParse(bare)) {
    throw new Error("must be like http://host:port, without a path");
  }
  return bare;
}

/** What the outside gives to {@link parseCommand}. */
export interface CommandInput {
  env(name: string): string | undefined;
  readTextFile(path: string): string;
}

const configFlag = stringFlag("FILE", null, "read flags from a JSON file, keyed by flag; the command line wins");

/**
 * Reads a command line.
 * @throws {UsageError} with one line that says what is wrong and what would be right.
 */
export function parseCommand<F extends Flags>(
  spec: CommandSpec<F>,
  argv: readonly string[],
  input: CommandInput,
): Parsed<F> {
  const flags: Flags = { ...spec.flags, config: configFlag };
  const names = Object.keys(flags);
  const switches = names.filter((name) => flags[name]!.placeholder === "");
  const raw = parseArgs(argv, {
    boolean: [...switches, "help"],
    string: [...names.filter((name) => !switches.includes(name)), "_"],
    collect: names,
    alias: { help: "h" },
    "--": true,
    unknown: (arg, key) => {
      if (key === undefined) return true;
      throw new UsageError(`unknown flag ${arg.split("=")[0]}${suggestion(key, names)}`);
    },
  }) as Record<string, unknown> & { _: (string | number)[] };
  if (raw.help === true) return { help: helpText(spec, flags) };

  const config = readConfig(raw.config, flags, input);
  const values: Record<string, unknown> = {};
  for (const name of names) {
    if (name === "config") continue;
    const flag = flags[name]!;
    const given = textsOf(raw[name], switches.includes(name));
    const env = flag.env ? input.env(flag.env) : undefined;
    try {
      if (given.length > 0) {
        if (given.length > 1 && !flag.repeated) throw new Error("stands more than once");
        values[name] = flag.parse(given);
      } else if (env) values[name] = flag.parse([env]);
      else if (Object.hasOwn(config, name)) {
        if (config[name]!.length !== 1 && !flag.repeated) throw new Error("must be one value");
        values[name] = flag.parse(config[name]!);
      } else values[name] = flag.fallback;
    } catch (error) {
      const where = given.length > 0 ? `--${name}` : env ? flag.env : `"${name}" in the config file`;
      throw new UsageError(`${where} ${(error as Error).message}`);
    }
  }
  const args = [...raw._, ...(raw["--"] as string[] | undefined ?? [])].map(String);
  const { positional } = spec;
  if (!positional && args.length > 0) {
    throw new UsageError(`"${args[0]}" is one word too many: ${spec.name} takes only flags`);
  }
  if (positional && args.length < positional.least) throw new UsageError(`${positional.placeholder} is missing`);
  return { help: null, flags: values as FlagValues<F>, args };
}

function textsOf(value: unknown, isSwitch: boolean): string[] {
  const list = (Array.isArray(value) ? value : [value]).filter((item) => item !== undefined);
  if (isSwitch) return list.slice(-1).map(String); // "--once=false" wins over a config file too
  return list.map(String);
}

function readConfig(value: unknown, flags: Flags, input: CommandInput): Record<string, string[]> {
  const [path, second] = textsOf(value, false);
  if (path === undefined) return {};
  if (second !== undefined) throw new UsageError("--config stands more than once");
  let json: unknown;
  try {
    json = JSON.parse(input.readTextFile(path));
  } catch (error) {
    throw new UsageError(`Cannot read the config file ${path}: ${(error as Error).message}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UsageError(`The config file ${path} must be a JSON object, keyed by flag`);
  }
  return Object.fromEntries(
    Object.entries(json).map(([name, entry]) => {
      if (!Object.hasOwn(flags, name) || name === "config") {
        throw new UsageError(`unknown key "${name}" in ${path}${suggestion(name, Object.keys(flags))}`);
      }
      return [name, configTexts(entry, name, path)];
    }),
  );
}

function configTexts(entry: unknown, name: string, path: string): string[] {
  if (Array.isArray(entry)) return entry.flatMap((item) => configTexts(item, name, path));
  if (typeof entry === "object" && entry !== null) {
    return Object.entries(entry).map(([key, value]) => `${key}=${value}`);
  }
  if (entry === null) throw new UsageError(`"${name}" in ${path} must not be null`);
  return [String(entry)];
}

/** `; did you mean --x?` for the flag that is at most two edits away. */
function suggestion(word: string, names: string[]): string {
  const [best] = names.map((name) => [editDistance(word, name), name] as const).sort((a, b) => a[0] - b[0]);
  return best && best[0] <= 2 ? `; did you mean --${best[1]}?` : "";
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}

function helpText<F extends Flags>(spec: CommandSpec<F>, flags: Flags): string {
  const usage = `metacdn ${spec.name} [flags]${spec.positional ? ` ${spec.positional.placeholder}` : ""}`;
  const rows = Object.entries(flags).map(([name, flag]) => {
    const left = `--${name}${flag.placeholder ? ` ${flag.placeholder}` : ""}`;
    const fallback = flag.fallbackText ?? defaultText(flag.fallback);
    const notes = [
      fallback && `default: ${fallback}`,
      flag.env && `or ${flag.env}`,
      flag.repeated && "may be repeated",
    ];
    const tail = notes.filter(Boolean).join("; ");
    return [left, `${flag.help}${tail ? ` (${tail})` : ""}`] as const;
  });
  const width = 30;
  const lines = rows.map(([left, right]) =>
    left.length < width ? `  ${left.padEnd(width)} ${right}` : `  ${left}\n  ${"".padEnd(width)} ${right}`
  );
  return [
    `${spec.summary}\n`,
    `Usage: ${usage}\n`,
    "Flags:",
    ...lines,
    `  ${"--help".padEnd(width)} this text`,
    "\nExamples:",
    ...spec.examples.map(([line, what]) => `  ${line}\n      ${what}`),
    ...(spec.notes ? ["", ...spec.notes] : []),
  ].join("\n");
}

function defaultText(value: unknown): string {
  if (value === null || value === false || value === "") return "";
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "object") return "";
  return String(value);
}

/** Flags that every listening program has. */
export function commonFlags(listenDefault: string) {
  return {
    listen: addressFlag(listenDefault, "where to listen; without a token on loopback only"),
    "token-file": stringFlag("FILE", null, "read the token for writes and admin from a file (else METACDN_TOKEN)"),
    "cluster-key-file": stringFlag(
      "FILE",
      null,
      "read the key between our programs from a file (else METACDN_CLUSTER_KEY)",
    ),
    "log-level": choiceFlag(["debug", "info", "warn", "error", "silent"], "info", "how much to log on standard error"),
    "log-format": choiceFlag(["text", "json"], "text", "the form of a log line"),
  };
}

/** True where a listening address can only be reached from this machine. */
export function isLocal(address: ListenAddress): boolean {
  return isLoopback(address.hostname);
}
