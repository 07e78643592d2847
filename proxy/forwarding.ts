/** What forwarding is given, what it leads to, and what is seen of it on the way: the words of `forward.ts`. */
import type { BodySource } from "../runtime/http1/body_source.ts";
import type { HeaderLine, Transport, UpstreamRequest } from "../runtime/http1/transport.ts";

/** A server that a request may go to. */
export interface Upstream {
  id: string;
  /** Its base URL. */
  origin: string;
}

/** What a viewer asked, with the hop-by-hop fields gone: a request to a server that is yet to be chosen. */
export type ForwardRequest = Omit<UpstreamRequest, "origin" | "headTimeoutMs" | "idleTimeoutMs">;

/** One attempt at one server, as it went: what the measurements are made of. */
export interface Observation {
  serverId: string;
  /** When it ended, in milliseconds since 1970. */
  atMs: number;
  outcome: "ok" | "connect-failed" | "timeout" | "broken" | "server-error" | "viewer-left";
  status: number | null;
  /** Time until the connection stood, where a new one was made: about one round trip. */
  connectMs: number | null;
  /** Time from sending the request to the answer's head. */
  headMs: number | null;
  /** Body bytes that came from the server. */
  bytes: number;
  /** Time from the head to the last body byte. */
  bodyMs: number;
  /** True where the time was bounded by the viewer and not by the server's link: no sample of the link's rate. */
  viewerBound: boolean;
  /** The whole representation's size where the answer told it. */
  size: number | null;
}

/** What forwarding leads to. */
export interface Forwarded {
  status: number;
  headers: HeaderLine[];
  /** To be read to its end, or cancelled. */
  body: BodySource | null;
  /** Who answered. */
  server: Upstream;
  /** Ids of those that were tried before, with why they failed. */
  failed: { id: string; why: string }[];
  connectMs: number;
  headMs: number;
}

/** What `forward` works with. */
export interface ForwardContext {
  transport: Transport;
  observe(observation: Observation): void;
  now(): number;
  /** How long a server may take to send the head of its answer. */
  headTimeoutMs: number;
  /** How long a server may pause in the middle of a body. */
  idleTimeoutMs: number;
}
