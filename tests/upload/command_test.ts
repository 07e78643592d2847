/** `metacdn upload` and `deno run -P upload.ts` as a script sees them. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { sha256 } from "../../runtime/signature.ts";
import { eventually, startTestServer, tempDir } from "../kit/mod.ts";

const root = fromFileUrl(new URL("../..", import.meta.url));

interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** Runs the program with exactly the permissions that `deno run -P` gives it. */
async function run(
  args: string[],
  { stdin, env = {} }: { stdin?: Uint8Array; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-P", "--no-prompt", "upload.ts", ...args],
    cwd: root,
    env: { NO_COLOR: "1", METACDN_TOKEN: "", METACDN_SERVER: "", ...env },
    stdin: stdin ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (stdin) {
    const writer = child.stdin.getWriter();
    await writer.write(stdin);
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

Deno.test("files, folders and standard input go up, and what is printed says where", async () => {
  await using server = await startTestServer();
  await using dir = await tempDir();
  await Deno.mkdir(join(dir.path, "site/img"), { recursive: true });
  await Deno.writeTextFile(join(dir.path, "site/index.html"), "<p>hi");
  await Deno.writeTextFile(join(dir.path, "site/img/a.txt"), "a");
  await Deno.symlink("/etc/hostname", join(dir.path, "site/leaves"));

  const one = await run(["--server", server.url, join(dir.path, "site/index.html"), "--meta", "who=me"]);
  assertEquals([one.code, one.err], [0, ""]);
  const digest = sha256(new TextEncoder().encode("<p>hi"));
  assertEquals(one.out, `/index.html  ${server.url}/index.html  5 B  sha256:${digest.slice(0, 12)}  1 copy\n`);

  const folder = await run(["--json", "--encoding", "protobuf", "--as", "/x/", join(dir.path, "site")], {
    env: { METACDN_SERVER: server.url },
  });
  assertEquals(folder.code, 0);
  assertStringIncludes(folder.err, "left out");
  const lines = folder.out.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ path, state }) => [path, state]), [["/x/img/a.txt", "sent"], ["/x/index.html", "present"]]);
  assertEquals(lines[1].sha256, digest);

  const input = await run(["--quiet", "--server", server.url, "--as", "/in", "-"], {
    stdin: new TextEncoder().encode("piped"),
  });
  assertEquals(input, { code: 0, out: "", err: "" });
  for (const [path, want] of [["/index.html", "<p>hi"], ["/x/img/a.txt", "a"], ["/in", "piped"]] as const) {
    assertEquals(await (await server.fetch(path)).text(), want);
  }
});

Deno.test("what cannot be read is told, the others go on, and the exit status is 1", async () => {
  await using server = await startTestServer();
  await using dir = await tempDir();
  await Deno.writeTextFile(join(dir.path, "ok"), "ok");
  const { code, out, err } = await run([
    "--server",
    server.url,
    "--json",
    join(dir.path, "none"),
    join(dir.path, "ok"),
  ]);
  assertEquals(code, 1);
  assertStringIncludes(err, "none: there is no such file");
  assertEquals(out.trim().split("\n").map((line) => Object.keys(JSON.parse(line))[1]), ["error", "path"]);
  assertEquals(await (await server.fetch("/ok")).text(), "ok");
});

Deno.test("a token is asked for in words that help, and taken from a file or the environment", async () => {
  const token = "a-token-of-some-length";
  await using server = await startTestServer({ secrets: { token, clusterKey: null } });
  await using dir = await tempDir();
  const file = join(dir.path, "f");
  await Deno.writeTextFile(file, "x");
  await Deno.writeTextFile(join(dir.path, "token"), `${token}\n`);
  const without = await run(["--server", server.url, file]);
  assertEquals(without.code, 1);
  assertStringIncludes(without.err, "METACDN_TOKEN");
  assertEquals((await run(["--server", server.url, "--token-file", join(dir.path, "token"), file])).code, 0);
  assertEquals((await run(["--server", server.url, file], { env: { METACDN_TOKEN: token } })).code, 0);
});

Deno.test("a wrong command line is one line and exit status 2", async () => {
  const table: [string[], string][] = [
    [[], "FILE… is missing"],
    [["--servr", "x", "a"], "did you mean --server?"],
    [["--encoding", "xml", "a"], "json or protobuf"],
    [["-"], "- needs --as"],
    [["-", "-", "--as", "/a"], "more than once"],
    [["a", "b", "--as", "/x"], 'must end with "/"'],
    [["a", "--as", "x"], '--as must start with "/"'],
    [["a", "--as", "/../x"], "--as must have no"],
    [["a", "--concurrency", "99"], "from 1 to 16"],
    [["a", "--meta", "x"], "KEY=VALUE"],
  ];
  await Promise.all(table.map(async ([args, words]) => {
    const { code, out, err } = await run(args);
    assertEquals([code, out, err.trim().split("\n").length], [2, "", 1], err);
    assertStringIncludes(err, words);
  }));
  const help = await run(["--help"]);
  assertEquals(help.code, 0);
  assertStringIncludes(help.out, "Exit status: 0");
});

Deno.test("a server that is killed in the middle and started again has the file whole in the end", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "big");
  const bytes = new Uint8Array(48 << 20);
  for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  await Deno.writeFile(file, bytes);
  const start = async (listen: string) => {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-q",
        "-P=server",
        "--no-prompt",
        "main.ts",
        "server",
        "--listen",
        listen,
        "--data",
        join(dir.path, "data"),
        "--log-level",
        "error",
      ],
      cwd: root,
      env: { METACDN_TOKEN: "", METACDN_CLUSTER_KEY: "" },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.getReader();
    let said = "";
    while (!said.includes("\n")) {
      const { value, done } = await reader.read();
      assert(!done, "the server did not start");
      said += new TextDecoder().decode(value);
    }
    reader.releaseLock();
    return { child, url: /listening (\S+)/.exec(said)![1]! };
  };
  const kill = async ({ child }: { child: Deno.ChildProcess }) => {
    child.kill("SIGKILL");
    await child.stdout.cancel();
    await child.status;
  };
  const part = join(dir.path, "data/uploads");
  let server = await start("127.0.0.1:0");
  try {
    const uploading = run(["--server", server.url, "--json", file]);
    // As soon as some of it is there:
    await eventually(async () => await bytesIn(part) > 4 << 20, { what: "some chunks" });
    await kill(server);
    server = await start(new URL(server.url).host);
    const { code, out, err } = await uploading;
    assertEquals(code, 0, err);
    assertStringIncludes(err, "again in");
    assertEquals(JSON.parse(out).sha256, sha256(bytes));
    const got = new Uint8Array(await (await fetch(`${server.url}/big`)).arrayBuffer());
    assertEquals(sha256(got), sha256(bytes));
  } finally {
    await kill(server);
  }
});

async function bytesIn(folder: string): Promise<number> {
  let total = 0;
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) total += await bytesIn(path);
    else total += (await Deno.stat(path)).size;
  }
  return total;
}
