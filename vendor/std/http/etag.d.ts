/** Evaluates If-Match (RFC 9110 §13.1.1): strong comparison. */
export declare function ifMatch(value: string | null, etag: string | undefined): boolean;
/** Evaluates If-None-Match (RFC 9110 §13.1.2): weak comparison. */
export declare function ifNoneMatch(value: string | null, etag: string | undefined): boolean;
