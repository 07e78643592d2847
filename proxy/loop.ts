/** Something done again and again, one at a time, with a pause between. */

/** A running loop. */
export interface Loop {
  /** Ends the pause: the next run begins now, or right after the one that is under way. */
  wake(): void;
  /** Ends the loop; resolves when nothing of it runs any more. */
  close(): Promise<void>;
}

/**
 * Runs `task` now and after each pause. It must not throw.
 * @param pauseMs how long to wait after a run
 */
export function startLoop(task: (signal: AbortSignal) => Promise<void>, pauseMs: () => number): Loop {
  const stop = new AbortController();
  let woken = false;
  let endPause = () => {};
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const wake = () => {
    woken = true;
    endPause();
  };
  const running = (async () => {
    while (!stop.signal.aborted) {
      woken = false;
      await task(stop.signal);
      if (!woken && !stop.signal.aborted) await pause(pauseMs());
    }
  })();
  return {
    wake,
    async close() {
      stop.abort();
      wake();
      await running;
    },
  };
}
