export declare const STATUS_TEXT: Record<number, string>;
