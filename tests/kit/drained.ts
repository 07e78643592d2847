/** Answers of which only the head matters. */

/** The response, its body read to the end: nothing of it is left open, and the connection can be used again. */
export async function drained(asked: Promise<Response>): Promise<Response> {
  const response = await asked;
  await response.bytes();
  return response;
}
