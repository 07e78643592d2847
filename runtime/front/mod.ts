/** A door on raw sockets before a `Deno.serve`: what programs use of it. */
export { type Answered, type Application, type Asker, type Finished, type Given, isSource } from "./application.ts";
export { finish, type Finishing } from "./finish.ts";
export { type Front, type FrontLimits, openFront } from "./front.ts";
export type { FrontRequest } from "./request.ts";
export { responseOf } from "./response.ts";
