/** What the rules know of status codes. */

/** Cacheable by heuristics (RFC 9110 §15.1). */
export const HEURISTICALLY_CACHEABLE: ReadonlySet<number> = new Set([
  200,
  203,
  204,
  206,
  300,
  301,
  308,
  404,
  405,
  410,
  414,
  501,
]);

/** Those whose rules for caches we follow: all of RFC 9110 that may be stored (must-understand, RFC 9111 §5.2.2.3). */
export const UNDERSTOOD: ReadonlySet<number> = new Set([
  ...HEURISTICALLY_CACHEABLE,
  ...[201, 202, 205, 302, 303, 305, 307],
  ...[400, 401, 402, 403, 406, 408, 409, 411, 413, 415, 417, 421, 422, 426],
  ...[500, 502, 503, 504, 505],
]);

/**
 * Never stored: answers to the conditions or the range of one request (304, 412, 416) or to its proxy (407), and those of
 * RFC 6585 (428, 429, 431, 511) and RFC 8470 (425), which say so themselves.
 */
export const NEVER_STORED: ReadonlySet<number> = new Set([304, 407, 412, 416, 425, 428, 429, 431, 511]);
