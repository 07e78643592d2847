import { assertEquals } from "@std/assert";
import { multipart } from "../../../server/serve/multipart.ts";

Deno.test("a multipart body is framed as RFC 9110 §14.6 shows, and is as long as it says", async () => {
  const bytes = new TextEncoder().encode("0123456789");
  let open = 0;
  const whole = multipart([{ start: 7, end: 9 }, { start: 0, end: 2 }], {
    size: 10,
    mediaType: "text/plain",
    boundary: "B",
    open({ start, end }) {
      open++;
      return Promise.resolve(
        new ReadableStream({
          start(controller) {
            controller.enqueue(bytes.slice(start, end));
            controller.close();
          },
        }),
      );
    },
  });
  assertEquals(open, 0, "nothing is opened before it is read");
  const text = await new Response(whole.body()).text();
  assertEquals(
    text,
    "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/10\r\n\r\n78" +
      "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01" +
      "\r\n--B--\r\n",
  );
  assertEquals(whole.length, text.length);
  assertEquals(whole.contentType, "multipart/byteranges; boundary=B");
});

Deno.test("a reader that leaves closes the part that is open", async () => {
  let cancelled = 0;
  const whole = multipart([{ start: 0, end: 5 }, { start: 6, end: 9 }], {
    size: 10,
    mediaType: "text/plain",
    boundary: "B",
    open: () =>
      Promise.resolve(
        new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1)), cancel: () => void cancelled++ }),
      ),
  });
  const reader = whole.body().getReader();
  for (let count = 0; count < 3; count++) await reader.read();
  await reader.cancel();
  assertEquals(cancelled, 1);
});
