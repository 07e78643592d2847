export declare function encodeHex(src: string | Uint8Array | ArrayBuffer): string;
export declare function decodeHex(src: string): Uint8Array<ArrayBuffer>;
