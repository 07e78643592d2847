export declare function encodeBase64(data: string | Uint8Array | ArrayBuffer): string;
export declare function decodeBase64(b64: string): Uint8Array<ArrayBuffer>;
