/** The proxy as its front asks it: what is plain is forwarded, its own pages are for `Deno.serve`. */
import { OWN_PREFIX } from "../proto/mod.ts";
import type { Application, Asker, FrontRequest } from "../runtime/front/mod.ts";
import { type PassedOn, passOn } from "../runtime/http1/pass_on.ts";
import type { Core } from "./core.ts";

/** What is remembered of a viewer's connection: what goes on of its last fields, and for which authority. */
interface Note {
  fields: FrontRequest["fields"] | null;
  authority: string;
  passed: PassedOn;
  /** When its present request came. */
  begun: number;
}

/** The application that forwards by `core`. */
export function frontOf(core: Core): Application {
  const { pseudonym } = core;

  function note({ fields, target: { authority, scheme } }: FrontRequest, asker: Asker): Note {
    const known = asker.note as Note | undefined;
    if (known && known.fields === fields && known.authority === authority) return known;
    const passed = passOn(fields.lines, {
      client: asker.client,
      host: authority,
      scheme,
      pseudonym,
      dropOrigin: false,
    });
    const made = { fields, authority, passed, begun: 0 };
    asker.note = made;
    return made;
  }

  return {
    answer(request, asker) {
      const { method, target } = request;
      // Our own pages, and the listing, which may need the token.
      if (target.path === "/" || target.path === "/-" || target.path.startsWith(OWN_PREFIX)) return null;
      const noted = note(request, asker);
      const { passed } = noted;
      noted.begun = core.now();
      core.admit(method, target, passed.via);
      return core.forward({ method, target, fields: passed, body: null, bodyLength: null, signal: asker.signal });
    },
    failure: (error, asker) => core.failure(error, (asker.note as Note).begun),
  };
}
