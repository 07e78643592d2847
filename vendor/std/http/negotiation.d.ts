/** The best of `types` by the Accept field (RFC 9110 §12.5.1), or undefined. */
export declare function accepts(request: { headers: Headers }, ...types: string[]): string | undefined;
