export declare function encodeBase64Url(data: string | Uint8Array | ArrayBuffer): string;
export declare function decodeBase64Url(b64url: string): Uint8Array<ArrayBuffer>;
