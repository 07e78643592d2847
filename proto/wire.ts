/** Every message, as generated from `metacdn/v1/*.proto`: its type, and its schema as `NameSchema`. */
export * from "./gen/metacdn/v1/cluster_pb.ts";
export * from "./gen/metacdn/v1/edge_pb.ts";
export * from "./gen/metacdn/v1/object_pb.ts";
export * from "./gen/metacdn/v1/policy_pb.ts";
export * from "./gen/metacdn/v1/pricing_pb.ts";
export * from "./gen/metacdn/v1/purge_pb.ts";
export * from "./gen/metacdn/v1/route_pb.ts";
export * from "./gen/metacdn/v1/server_pb.ts";
export * from "./gen/metacdn/v1/upload_pb.ts";
