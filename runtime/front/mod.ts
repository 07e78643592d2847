/** A door on raw sockets before a `Deno.serve`: what programs use of it. */
export type { Answered, Application, Asker, Finished, Given } from "./application.ts";
export { finish, type Finishing } from "./finish.ts";
export { type Front, type FrontLimits, openFront } from "./front.ts";
export type { Fields, FrontRequest } from "./request.ts";
