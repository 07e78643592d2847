import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  addressFlag,
  choiceFlag,
  type CommandSpec,
  commonFlags,
  isLocal,
  listFlag,
  nameFlag,
  numberFlag,
  pairsFlag,
  parseBaseUrl,
  parseCommand,
  sizeFlag,
  stringFlag,
  switchFlag,
  urlFlag,
  urlsFlag,
  UsageError,
} from "../../runtime/flags.ts";

const flags = {
  listen: addressFlag("127.0.0.1:8080", "where"),
  id: nameFlag("NAME", null, "who"),
  note: stringFlag("TEXT", "none", "what", { env: "TEST_NOTE" }),
  workers: numberFlag("N", 2, "how many", { least: 1, most: 64 }),
  weight: numberFlag("0..1", 0.5, "how much", { most: 1, fraction: true }),
  chunk: sizeFlag("8MiB", "how large", { least: 1024 }),
  encoding: choiceFlag(["json", "protobuf"], "json", "which"),
  once: switchFlag("only once"),
  server: urlFlag(null, "where to", { env: "TEST_SERVER" }),
  peers: urlsFlag([], "others"),
  glob: listFlag("GLOB", "which"),
  label: pairsFlag("more"),
};
const spec: CommandSpec<typeof flags> = {
  name: "test",
  summary: "Tests.",
  flags,
  positional: { placeholder: "FILE…", least: 0 },
  examples: [["metacdn test", "tests"]],
};

interface Outside {
  env?: Record<string, string>;
  files?: Record<string, string>;
}

function input({ env = {}, files = {} }: Outside = {}) {
  return {
    env: (name: string) => env[name],
    readTextFile(path: string) {
      if (path in files) return files[path]!;
      throw new Deno.errors.NotFound(`no such file: ${path}`);
    },
  };
}

function read(argv: string[], outside: Outside = {}) {
  const parsed = parseCommand(spec, argv, input(outside));
  assert(parsed.help === null);
  return parsed;
}

function refused(argv: string[], outside: Outside = {}): string {
  const { message } = assertThrows(() => parseCommand(spec, argv, input(outside)), UsageError);
  assert(!/[\p{Cc}]/u.test(message), JSON.stringify(message));
  return message;
}

Deno.test("without a word, every flag has its default", () => {
  assertEquals(read([]), {
    help: null,
    args: [],
    flags: {
      listen: { hostname: "127.0.0.1", port: 8080 },
      id: null,
      note: "none",
      workers: 2,
      weight: 0.5,
      chunk: 8 << 20,
      encoding: "json",
      once: false,
      server: null,
      peers: [],
      glob: [],
      label: {},
    },
  });
});

Deno.test("every kind of flag reads what it should", () => {
  const table: [string[], keyof typeof flags, unknown][] = [
    [["--listen", ":9"], "listen", { hostname: "0.0.0.0", port: 9 }],
    [["--listen", "0"], "listen", { hostname: "127.0.0.1", port: 0 }],
    [["--listen=[::1]:65535"], "listen", { hostname: "::1", port: 65535 }],
    [["--listen", "cdn.example.com:80"], "listen", { hostname: "cdn.example.com", port: 80 }],
    [["--id", "a.b-c_1"], "id", "a.b-c_1"],
    [["--note", "a b=c"], "note", "a b=c"],
    [["--note=--x"], "note", "--x"],
    [["--workers", "64"], "workers", 64],
    [["--weight", "0.25"], "weight", 0.25],
    [["--weight", "1"], "weight", 1],
    [["--chunk", "4MiB"], "chunk", 4 << 20],
    [["--chunk", "1.5 kB"], "chunk", 1500],
    [["--chunk", "2048"], "chunk", 2048],
    [["--encoding", "protobuf"], "encoding", "protobuf"],
    [["--once"], "once", true],
    [["--once=false"], "once", false],
    [["--server", "http://a:1/"], "server", "http://a:1"],
    [["--peers", "http://a:1,http://b:2/", "--peers", "http://a:1"], "peers", ["http://a:1", "http://b:2"]],
    [["--glob", "a", "--glob", "b"], "glob", ["a", "b"]],
    [["--label", "a=1", "--label", "b=x=y"], "label", { a: "1", b: "x=y" }],
  ];
  for (const [argv, name, value] of table) assertEquals(read(argv).flags[name], value as never, argv.join(" "));
});

Deno.test("every kind of flag says in one line what would be right", () => {
  const table: [string[], string][] = [
    [["--listen", "localhost"], "--listen must be HOST:PORT"],
    [["--listen", "a:99999"], "--listen must be HOST:PORT"],
    [["--listen", "http://a:1"], "--listen must be HOST:PORT"],
    [["--listen"], "--listen must be HOST:PORT"],
    [["--id", "../x"], "--id must be 1 to 64"],
    [["--note", ""], "--note must not be empty"],
    [["--workers", "0"], "--workers must be a whole number from 1 to 64"],
    [["--workers", "1.5"], "whole number"],
    [["--workers", "0x10"], "whole number"],
    [["--workers=-1"], "whole number"],
    [["--weight", "1.1"], "--weight must be a number from 0 to 1"],
    [["--weight", "NaN"], "--weight must be a number"],
    [["--chunk", "4 parsecs"], "--chunk must be a size such as"],
    [["--chunk", "1"], "--chunk must be a size such as"],
    [["--chunk", "4constructor"], "--chunk must be a size such as"],
    [["--encoding", "xml"], "--encoding must be json or protobuf"],
    [["--server", "ftp://a"], "--server must be like http://host:port"],
    [["--server", "http://a/path"], "--server must be like"],
    [["--peers", "http://a:1,b"], "--peers must be like"],
    [["--label", "a"], "--label must be KEY=VALUE"],
    [["--label", "a b=c"], "--label must be KEY=VALUE"],
    [["--id", "a", "--id", "b"], "--id stands more than once"],
    [["--config", "a", "--config", "b"], "--config stands more than once"],
    [["--servr", "x"], "unknown flag --servr; did you mean --server?"],
    [["--nothing-like-it"], "unknown flag --nothing-like-it"],
    [["--__proto__=x"], "unknown flag --__proto__"],
    [["--constructor"], "unknown flag --constructor"],
    [["--label.a=b"], "unknown flag --label.a"],
    [["-x"], "unknown flag -x"],
    [["--a\nb"], "unknown flag --a b"],
    [["--config", "none.json"], "Cannot read the config file none.json"],
  ];
  for (const [argv, words] of table) assertStringIncludes(refused(argv), words, argv.join(" "));
});

Deno.test("the command line wins over the environment, that over the config file, that over the default", () => {
  const files = { c: JSON.stringify({ note: "config", server: "http://config:1", once: true }) };
  const env = { TEST_NOTE: "env" };
  assertEquals(read(["--config", "c", "--note", "line"], { files, env }).flags.note, "line");
  assertEquals(read(["--config", "c"], { files, env }).flags.note, "env");
  assertEquals(read(["--config", "c"], { files }).flags.note, "config");
  assertEquals(read([], {}).flags.note, "none");
  assertEquals(read(["--config", "c"], { files }).flags.once, true);
  assertEquals(read(["--config", "c", "--once=false"], { files }).flags.once, false);
  assertEquals(read([], { env: { TEST_SERVER: "" } }).flags.server, null, "an empty variable counts as not set");
});

Deno.test("a config file takes every flag, in JSON's own types", () => {
  const files = {
    c: JSON.stringify({
      listen: "127.0.0.1:1",
      workers: 3,
      weight: 0.1,
      chunk: "1MiB",
      once: false,
      peers: ["http://a:1", "http://b:2"],
      label: { a: "1", b: 2 },
    }),
  };
  const { flags } = read(["--config", "c"], { files });
  assertEquals([flags.listen.port, flags.workers, flags.weight, flags.chunk, flags.once], [1, 3, 0.1, 1 << 20, false]);
  assertEquals(flags.peers, ["http://a:1", "http://b:2"]);
  assertEquals(flags.label, { a: "1", b: "2" });
});

Deno.test("a bad config file is one line that names the key", () => {
  const table: [string, string][] = [
    ["{", "Cannot read the config file c"],
    ['{\n"a"\n:\n}\n', "Cannot read the config file c"],
    ["[]", "must be a JSON object"],
    ["null", "must be a JSON object"],
    ["1", "must be a JSON object"],
    ['{"worker":1}', 'unknown key "worker" in c; did you mean --workers?'],
    ['{"config":"d"}', 'unknown key "config"'],
    ['{"constructor":1}', 'unknown key "constructor"'],
    ['{"__proto__":1}', 'unknown key "__proto__"'],
    ['{"toString":"x"}', 'unknown key "toString"'],
    ['{"workers":null}', '"workers" in c must not be null'],
    ['{"workers":"many"}', '"workers" in the config file must be a whole number'],
    ['{"workers":1e99}', '"workers" in the config file must be a whole number'],
    ['{"workers":[1,2]}', '"workers" in the config file must be one value'],
    ['{"once":"maybe"}', '"once" in the config file must be true or false'],
    ['{"listen":{"port":1}}', '"listen" in the config file must be HOST:PORT'],
    ['{"note":""}', '"note" in the config file must not be empty'],
    ['{"note":[]}', '"note" in the config file must be one value'],
  ];
  for (const [content, words] of table) {
    assertStringIncludes(refused(["--config", "c"], { files: { c: content } }), words, content);
  }
  assertStringIncludes(refused([], { env: { TEST_SERVER: "x" } }), "TEST_SERVER must be like");
});

Deno.test("words beside the flags are kept as they are, also - and those after --", () => {
  assertEquals(read(["a", "-", "007", "--id", "x", "1e3", "--", "--once", "-h"]).args, [
    "a",
    "-",
    "007",
    "1e3",
    "--once",
    "-h",
  ]);
  const none = { ...spec, positional: undefined } as unknown as typeof spec;
  assertThrows(() => parseCommand(none, ["a"], input()), UsageError, "one word too many");
  const one = { ...spec, positional: { placeholder: "FILE…", least: 1 } };
  assertThrows(() => parseCommand(one, [], input()), UsageError, "FILE… is missing");
});

Deno.test("whatever the words, the outcome is values, help, or one line", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      ...Object.keys(flags).flatMap((name) => [`--${name}`, `--${name}=`, `--no-${name}`]),
      "--",
      "-",
      "-h",
    ),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), (argv) => {
      try {
        parseCommand(spec, argv, input());
      } catch (error) {
        assert(error instanceof UsageError, `${error}`);
        assert(!/\p{Cc}/u.test(error.message));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("help names every flag, its default and its variable", () => {
  for (const argv of [["--help"], ["-h"], ["--help", "--id", "x"]]) {
    const parsed = parseCommand(spec, argv, input());
    assert(parsed.help !== null);
    for (const name of [...Object.keys(flags), "config", "help"]) assertStringIncludes(parsed.help, `--${name}`);
    for (
      const words of [
        "default: 8MiB",
        "or TEST_NOTE",
        "may be repeated",
        "metacdn test [flags] FILE…",
        "default: 127.0.0.1:8080",
      ]
    ) {
      assertStringIncludes(parsed.help, words);
    }
  }
});

Deno.test("base URLs have no path, query or user", () => {
  assertEquals(parseBaseUrl("https://a.example:443/"), "https://a.example:443");
  for (
    const bad of [
      "",
      "a:1",
      "http://",
      "http://a/b",
      "http://a?b",
      "http://u@a",
      "http://a b",
      "http://a:x",
      "file:///a",
    ]
  ) {
    assertThrows(() => parseBaseUrl(bad), Error, "must be like", bad);
  }
});

Deno.test("programs that listen share their flags", () => {
  const common = commonFlags("127.0.0.1:8080");
  assertEquals(isLocal(common.listen.fallback), true);
  assertEquals(isLocal({ hostname: "0.0.0.0", port: 1 }), false);
  assertEquals(common["log-level"].parse(["silent"]), "silent");
});
