/** The full media type for an extension, with charset where it has one. */
export declare function contentType(extensionOrType: string): string | undefined;
