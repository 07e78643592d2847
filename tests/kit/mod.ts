/** Helpers that all tests share. */
export * from "./drained.ts";
export * from "./eventually.ts";
export * from "./free_ports.ts";
export * from "./raw_request.ts";
export * from "./temp_dir.ts";
export * from "./test_server.ts";
