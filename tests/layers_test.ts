/** The arrows of the house: who may import whom. `docs/architecture.md` draws them. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, fromFileUrl, relative, toFileUrl } from "@std/path";

const house = fromFileUrl(new URL("..", import.meta.url));

/** Each room, and the rooms that it may look into besides its own. */
const arrows: Record<string, readonly string[]> = {
  "main.ts": ["cli"],
  "upload.ts": ["cli"],
  "mod.ts": ["server", "proxy", "pricing", "upload", "certs", "runtime", "proto"],
  cli: ["server", "proxy", "pricing", "upload", "certs", "runtime", "proto"],
  server: ["runtime", "proto"],
  proxy: ["runtime", "proto"],
  pricing: ["runtime", "proto"],
  upload: ["runtime", "proto"],
  certs: ["runtime", "proto"],
  runtime: ["proto"],
  proto: [],
};
/** Not part of the program: they may look anywhere. */
const outside = ["tests", "bench", "vendor", "docs", "dist"];

interface Import {
  from: string;
  to: string;
}

/** What is wrong with these imports; paths are relative to the root. */
function violations(imports: readonly Import[]): string[] {
  const room = (path: string) => path.split("/", 1)[0]!;
  return imports.flatMap(({ from, to }) => {
    const [a, b] = [room(from), room(to)];
    if (!(a in arrows)) return [`${from} is in no room: name it in tests/layers_test.ts`];
    if (a === b || arrows[a]!.includes(b)) return [];
    return [`${from} -> ${to}: ${a} may import ${arrows[a]!.join(", ") || "nothing of ours"}`];
  });
}

/** Every TypeScript file of the program, relative to the root. */
function sources(root: string, folder = ""): string[] {
  return [...Deno.readDirSync(root + folder)].flatMap(({ name, isDirectory }) => {
    if (name.startsWith(".") || name === "node_modules" || outside.includes(folder + name)) return [];
    if (isDirectory) return sources(root, `${folder}${name}/`);
    return /\.[cm]?[jt]sx?$/.test(name) ? [folder + name] : [];
  });
}

/** All imports between our own files, dynamic and type-only ones too, by `deno info`. */
async function importsOf(root: string, files: readonly string[]): Promise<Import[]> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      entry,
      files.map((file) => `import ${JSON.stringify(toFileUrl(root + file).href)};\n`).join(""),
    );
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", "--config", `${house}deno.json`, entry],
      stdin: "null",
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    interface Target {
      specifier?: string;
    }
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string; dependencies?: { code?: Target; type?: Target }[] }[];
    };
    const ours = (specifier: string | undefined) => {
      if (!specifier?.startsWith("file:")) return null;
      const path = relative(root, fromFileUrl(specifier));
      return path.startsWith("..") || outside.includes(path.split("/", 1)[0]!) ? null : path;
    };
    return modules.flatMap(({ specifier, dependencies = [] }) => {
      const from = ours(specifier);
      if (from === null) return [];
      return dependencies.flatMap(({ code, type }) =>
        [...new Set([ours(code?.specifier), ours(type?.specifier)])].filter((to) => to !== null).map((to) => ({
          from,
          to,
        }))
      );
    });
  } finally {
    await Deno.remove(entry);
  }
}

Deno.test("no import goes against the arrows of the house", async () => {
  const files = sources(house);
  const imports = await importsOf(house, files);
  assert(imports.some(({ from, to }) => from === "runtime/guard.ts" && to === "proto/mod.ts"), "imports are seen");
  assert(imports.some(({ from, to }) => from === "cli/run.ts" && to === "cli/command.ts"), "type-only ones too");
  assertEquals(violations(imports), []);
  assertEquals(violations(files.map((file) => ({ from: file, to: file }))), [], "every file is in a room");
});

Deno.test("a planted violation is found, in code, in types and in dynamic imports", async () => {
  const root = `${await Deno.realPath(await Deno.makeTempDir())}/`;
  const planted: Record<string, string> = {
    "proto/a.ts": `import "../runtime/b.ts";\nimport type { C } from "../server/c.ts";\nexport type D = C;\n` +
      `await import("../cli/d.ts");\n`,
    "runtime/b.ts": "export {};\n",
    "server/c.ts": `import "../runtime/b.ts";\nexport type C = 1;\n`,
    "cli/d.ts": `import "../server/c.ts";\n`,
  };
  try {
    for (const [path, text] of Object.entries(planted)) {
      await Deno.mkdir(dirname(root + path), { recursive: true });
      await Deno.writeTextFile(root + path, text);
    }
    const files = sources(root);
    assertEquals(files.sort(), Object.keys(planted).sort());
    const found = violations(await importsOf(root, files)).map((line) => line.split(":")[0]);
    assertEquals(found.sort(), ["cli/d.ts", "runtime/b.ts", "server/c.ts"].map((to) => `proto/a.ts -> ${to}`));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("each forbidden arrow is one", () => {
  const forbidden: [string, string][] = [
    ["server/a.ts", "proxy/b.ts"],
    ["proxy/a.ts", "pricing/b.ts"],
    ["upload/a.ts", "server/b.ts"],
    ["pricing/a.ts", "cli/b.ts"],
    ["runtime/a.ts", "server/b.ts"],
    ["proto/a.ts", "runtime/b.ts"],
    ["upload.ts", "upload/mod.ts"],
    ["main.ts", "server/mod.ts"],
    ["mod.ts", "cli/run.ts"],
    ["server/a.ts", "tests/kit/b.ts"],
  ];
  for (const [from, to] of forbidden) assertStringIncludes(violations([{ from, to }]).join(), `${from} -> ${to}`);
  assertStringIncludes(violations([{ from: "shed/a.ts", to: "shed/b.ts" }]).join(), "in no room");
  assertEquals(violations([{ from: "cli/a.ts", to: "server/b.ts" }, { from: "upload.ts", to: "cli/run.ts" }]), []);
});
