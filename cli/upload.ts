/** `metacdn upload FILE…`: sends files, folders or standard input to a content server. */
import { format as formatBytes } from "@std/fmt/bytes";
import { basename } from "@std/path";
import { CdnError, codecOf, pathFault } from "../proto/mod.ts";
import {
  choiceFlag,
  type CommandSpec,
  numberFlag,
  pairsFlag,
  parseCommand,
  stringFlag,
  switchFlag,
  urlFlag,
  UsageError,
} from "../runtime/flags.ts";
import { readToken } from "../runtime/secrets.ts";
import { type FileTarget, listFiles, printable, upload as send, type UploadResult } from "../upload/mod.ts";
import { caFlag, openTrust } from "./ca.ts";
import type { Command } from "./command.ts";
import { createProgress } from "./upload_progress.ts";

const flags = {
  server: urlFlag("http://127.0.0.1:8080", "the content server to upload to", { env: "METACDN_SERVER" }),
  as: stringFlag("/PATH", null, 'the path on the server; one that ends with "/" is a folder for what is uploaded'),
  meta: pairsFlag("a pair of metadata to keep with the content"),
  encoding: choiceFlag(["json", "protobuf"], "json", "how messages are sent; protobuf is faster and a quarter smaller"),
  concurrency: numberFlag("N", 4, "chunks of a file under way at once", { least: 1, most: 16 }),
  "token-file": stringFlag("FILE", null, "read the server's token from a file (else METACDN_TOKEN)"),
  ca: caFlag,
  quiet: switchFlag("say nothing but what went wrong"),
  json: switchFlag("print one JSON line a file on standard output"),
};

const spec: CommandSpec<typeof flags> = {
  name: "upload",
  summary: "Uploads files, folders with all that is in them, or standard input (-).",
  flags,
  positional: { placeholder: "FILE…", least: 1 },
  examples: [
    ["metacdn upload photo.jpg", "to /photo.jpg on the server"],
    ["metacdn upload --as /2026/ *.jpg", "each to /2026/NAME"],
    ["metacdn upload --as /site site/", "the contents of site/ to /site/…"],
    ["pg_dump shop | metacdn upload --as /backup/shop.sql -", "standard input"],
  ],
  notes: [
    "An upload that was interrupted goes on where it stopped when it is started again.",
    "Exit status: 0 all is on the server, 1 something is not, 2 wrong command line.",
  ],
};

/** The command. */
export const upload: Command = async (argv, input) => {
  const parsed = parseCommand(spec, argv, input);
  if (parsed.help !== null) {
    console.log(parsed.help);
    return 0;
  }
  const { flags: { server, as, meta, encoding, concurrency, quiet, json, "token-file": tokenFile, ca }, args } = parsed;
  checkNames(args, as);
  const token = readToken(tokenFile, input);
  using trust = openTrust(ca, [server]);

  let failures = 0;
  const fail = (file: string, error: string) => {
    failures++;
    console.error(`metacdn upload: ${printable(file)}: ${printable(error)}`);
    if (json) console.log(JSON.stringify({ file, error }));
  };
  const one = async ({ file, path }: FileTarget) => {
    const progress = createProgress(file === "-" ? "standard input" : file, { quiet });
    try {
      const result = await send(file === "-" ? Deno.stdin.readable : { file }, {
        server,
        path,
        meta,
        name: file === "-" ? "" : basename(file),
        token,
        fetch: trust.fetch,
        codec: codecOf(encoding),
        concurrency,
        onProgress: progress.show,
        retry: { onRetry: (error, pauseMs) => progress.note(`${error.message}; again in ${seconds(pauseMs)}`) },
      });
      progress.end();
      if (json) console.log(jsonLine(file, result));
      else if (!quiet) console.log(resultLine(result));
    } catch (error) {
      progress.end();
      if (!(error instanceof CdnError)) throw error;
      const hint = error.status === 401 ? " (set METACDN_TOKEN, or give --token-file)" : "";
      fail(file, error.message + hint);
    }
  };

  let found = 0;
  const notes = {
    onSkip: (file: string, reason: string) => {
      if (!quiet) console.error(`metacdn upload: left out ${printable(file)}: ${reason}`);
    },
    onFail: fail,
  };
  for await (const target of listFiles(args, as, notes)) {
    found++;
    await one(target);
  }
  if (found === 0 && failures === 0 && !quiet) console.error("metacdn upload: there is no file in what was named");
  return failures > 0 ? 1 : 0;
};

function checkNames(args: readonly string[], as: string | null): void {
  if (as !== null && as !== "/") {
    const fault = pathFault(as.replace(/\/$/, ""));
    if (fault) throw new UsageError(`--as ${fault}`);
  }
  const inputs = args.filter((arg) => arg === "-").length;
  if (inputs > 1) throw new UsageError("- stands more than once: there is one standard input");
  if (inputs === 1 && (as === null || as.endsWith("/"))) {
    throw new UsageError('- needs --as /PATH, which does not end with "/": standard input has no name');
  }
  if (args.length > 1 && as !== null && !as.endsWith("/")) {
    throw new UsageError('--as must end with "/" for several files: it is the folder that they go into');
  }
}

function resultLine({ path, url, size, sha256, copies, state, resumed }: UploadResult): string {
  const notes = [
    state === "present" ? "all bytes were there already" : "",
    resumed > 0 && state === "sent" ? `${formatBytes(resumed)} of it from an earlier attempt` : "",
  ].filter(Boolean);
  const tail = notes.length > 0 ? `  (${notes.join("; ")})` : "";
  const held = `${copies} ${copies === 1 ? "copy" : "copies"}`;
  return printable(`${path}  ${url}  ${formatBytes(size)}  sha256:${sha256.slice(0, 12)}  ${held}${tail}`);
}

function jsonLine(file: string, { path, url, size, sha256, copies, state, resumed }: UploadResult): string {
  return JSON.stringify({ file, path, url, size, sha256, copies, state, resumed });
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
