/** `/-/v1/servers`: the list of known servers. */
import { create } from "@bufbuild/protobuf";
import { badRequest, wire } from "../../proto/mod.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import type { Call } from "./call.ts";

/** GET /-/v1/servers */
export function list({ request, parts }: Call): Response {
  parts.guard.requireTokenOrPeer(request);
  const answer = create(wire.ServerListSchema, { servers: parts.cluster.servers() });
  return messageResponse(request, wire.ServerListSchema, answer);
}

/** POST /-/v1/servers: the server at the URL is asked who it is, and joins. */
export async function add({ request, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  const { url } = await readMessage(request, wire.AddServerSchema, { idleMs: parts.limits.idleMs });
  const server = await parts.cluster.addServer(url);
  parts.log.info("server added", { server: server.id, url });
  return messageResponse(request, wire.ServerSchema, server, {
    status: 201,
    headers: { location: `/-/v1/servers/${server.id}` },
  });
}

/** GET /-/v1/servers/{id} */
export function describe({ request, segments, parts }: Call): Response {
  parts.guard.requireTokenOrPeer(request);
  const server = parts.cluster.servers().find(({ id }) => id === segments.id);
  if (!server) throw unknown(segments.id!);
  return messageResponse(request, wire.ServerSchema, server);
}

/** PATCH /-/v1/servers/{id}: drains it, or lets it go on. */
export async function change({ request, segments, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  const { draining } = await readMessage(request, wire.ChangeServerSchema, { idleMs: parts.limits.idleMs });
  const server = await parts.cluster.drainServer(segments.id!, draining);
  if (!server) throw unknown(segments.id!);
  parts.log.info(draining ? "server is being drained" : "server goes on", { server: server.id });
  return messageResponse(request, wire.ServerSchema, server);
}

/** GET /-/v1/durability: what would be lost if one machine, provider, … vanished now. Asks the other servers. */
export async function durability({ request, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  return messageResponse(request, wire.DurabilitySchema, await parts.cluster.durability());
}

/** DELETE /-/v1/servers/{id}: off the list, here and soon everywhere. */
export async function remove({ request, segments, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  const { id } = segments;
  if (id === parts.identity.id) {
    throw badRequest("A server cannot take itself off the list: ask another one", { status: 409 });
  }
  if (!await parts.cluster.removeServer(id!)) throw unknown(id!);
  parts.log.info("server removed", { server: id });
  return new Response(null, { status: 204 });
}

function unknown(id: string) {
  return badRequest(`There is no server ${id.slice(0, 64)}`, { status: 404 });
}
