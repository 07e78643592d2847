/** A folder that is gone when the test is over. */

/** `await using dir = await tempDir(); dir.path` */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
}

/** Makes an empty folder. */
export async function tempDir(): Promise<TempDir> {
  const path = await Deno.makeTempDir({ prefix: "metacdn-test-" });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true }).catch(() => {});
    },
  };
}
