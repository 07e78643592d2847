/** A time within a quarter of `ms`, so that many programs do not act at the same instant; `random` is from [0, 1). */
export function jittered(ms: number, random: () => number): number {
  return ms * (0.75 + random() / 2);
}
