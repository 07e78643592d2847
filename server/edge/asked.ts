/** A request to the edge as plain data, whichever door it came by. */
import type { StopSignal } from "../../runtime/http1/transport.ts";
import type { Lines } from "./rules/mod.ts";

/** What a viewer asks. */
export interface Asked {
  method: string;
  /** Path and query as sent: the key of what is stored. */
  target: string;
  /** Host and port as sent, lower case: it says what an answer's Location means, and goes to no origin. */
  authority: string;
  /** Names in lower case. */
  fields: Lines;
  /** Null where the request has none. */
  body: ReadableStream<Uint8Array> | null;
  /** Of the body; null where it is not known. */
  bodyLength: number | null;
  /** The viewer's address. */
  client: string;
  /** The viewer went away. */
  signal: StopSignal;
}
