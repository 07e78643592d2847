/** The edge as its front asks it: {@link edgeFront}. */
import { OWN_PREFIX } from "../../proto/mod.ts";
import type { Application } from "../../runtime/front/mod.ts";
import type { Edge } from "./edge.ts";

/** GET and HEAD of whatever is not below /-/, from what is finished, stored or pulled. */
export function edgeFront(edge: Edge): Application {
  return {
    hot: (_method, target) => edge.hot(target),
    sent: (bytes) => edge.sent(bytes),
    answer({ method, target: { path, authority }, pathAndQuery, fields }, { client, signal }) {
      if (path.startsWith(OWN_PREFIX)) return null;
      return edge.answer({
        method,
        target: pathAndQuery,
        authority,
        fields: fields.lines,
        body: null,
        bodyLength: null,
        client,
        signal,
      });
    },
  };
}
