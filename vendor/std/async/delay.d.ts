/** Resolves after `ms`; rejects when `signal` aborts. `persistent: false` lets the process end meanwhile. */
export declare function delay(ms: number, options?: { signal?: AbortSignal; persistent?: boolean }): Promise<void>;
