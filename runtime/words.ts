/** An error in a few words. */
export function words(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `fetch` says only that it failed; why is in its cause.
  if (error.message !== "fetch failed" || !(error.cause instanceof Error)) return error.message;
  return error.cause.message.replace(/^error sending request for url \(\S*\): (client error \(\w+\): )?/, "");
}
