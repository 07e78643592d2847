/** Signals from outside: ending well, by one signal for everything that a program started, and reading files again. */

/**
 * Aborts on SIGINT and SIGTERM, once; a second signal ends the process at once. With
 * METACDN_SUPERVISED=1 it also aborts when standard input ends, so that no child outlives its parent.
 */
export function stopSignal({ supervised = false }: { supervised?: boolean } = {}): AbortSignal {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort();
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, onSignal);
  if (supervised) whenInputEnds().then(() => controller.abort());
  return controller.signal;
}

/** Calls `listener` at each SIGHUP, which until this is disposed of does not end the program. */
export function onHangup(listener: () => void): Disposable {
  Deno.addSignalListener("SIGHUP", listener);
  return { [Symbol.dispose]: () => Deno.removeSignalListener("SIGHUP", listener) };
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function whenInputEnds(): Promise<void> {
  const buffer = new Uint8Array(256);
  try {
    while (await Deno.stdin.read(buffer) !== null) { /* what a parent writes means nothing */ }
  } catch { /* a closed input has ended too */ }
}
