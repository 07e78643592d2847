/** Rejects with a `TimeoutError` when `p` takes longer than `ms`. */
export declare function deadline<T>(p: Promise<T>, ms: number, options?: { signal?: AbortSignal }): Promise<T>;
