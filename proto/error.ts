/** Who failed: it decides whether somebody else may be asked instead. */
export type ErrorSource = "client" | "server" | "peer" | "origin" | "pricing";

/** What a {@link CdnError} carries beside its message. */
export interface CdnErrorOptions {
  /** Who failed. */
  source: ErrorSource;
  /** The HTTP status that tells it; 400, 500 or 502 by source when left out. */
  status?: number;
  /** True where the same request may succeed later or elsewhere. */
  retry?: boolean;
  /** Seconds after which a retry makes sense; sent as Retry-After. */
  retryAfterSeconds?: number;
  /** Each wrong field of the input, and what would be right. */
  fields?: FieldError[];
  /** Further HTTP fields of the answer (Allow, Accept, Content-Range, WWW-Authenticate). */
  headers?: Record<string, string>;
  /** The error underneath. */
  cause?: unknown;
}

/** One wrong field of a message. */
export interface FieldError {
  /** Its path in the message, such as `tiers[2].upToBytes`. */
  field: string;
  /** What is wrong, and what would be right. */
  detail: string;
}

/**
 * The one error class for what can go wrong between programs. The message names the action, then the
 * state: `"Cannot commit the upload: 3 bytes are missing"`. Bad arguments of a function are built-in
 * errors (`TypeError`, `RangeError`) and never this.
 */
export class CdnError extends Error {
  /** The class's name. */
  override name = "CdnError";
  /** Who failed. */
  readonly source: ErrorSource;
  /** The HTTP status that tells it. */
  readonly status: number;
  /** True where the same request may succeed later or elsewhere. */
  readonly retry: boolean;
  /** When a retry makes sense. */
  readonly retryAfterSeconds: number | undefined;
  /** Each wrong field of the input. */
  readonly fields: readonly FieldError[];
  /** Further HTTP fields of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  /** The message names the action, then the state. */
  constructor(message: string, options: CdnErrorOptions) {
    super(message, { cause: options.cause });
    this.source = options.source;
    this.status = options.status ?? { client: 400, server: 500, peer: 502, origin: 502, pricing: 502 }[options.source];
    this.retry = options.retry ?? false;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.fields = options.fields ?? [];
    this.headers = options.headers ?? {};
  }
}

/** Shorthand for the commonest: the client sent something wrong. */
export function badRequest(message: string, options: Omit<CdnErrorOptions, "source"> = {}): CdnError {
  return new CdnError(message, { ...options, source: "client" });
}
