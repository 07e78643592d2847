/** `99674` to `"1m 39s 674ms"` with `{ ignoreZero: true }`. */
export declare function format(
  ms: number,
  options?: { style?: "narrow" | "digital" | "full"; ignoreZero?: boolean },
): string;
