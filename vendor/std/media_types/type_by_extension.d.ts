/** The media type for an extension (`"jpg"` or `".jpg"`), without parameters. */
export declare function typeByExtension(extension: string): string | undefined;
