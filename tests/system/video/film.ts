/** A film whose pictures tell the time, so that who sees one knows where in the film it stands. */
import { join } from "@std/path";
import { tempDir } from "../../kit/mod.ts";
import { client } from "../clients.ts";

/** How long the film is, in seconds. */
export const FILM_SECONDS = 60;

/** Its pictures in a second; each second begins with a key picture. */
const PICTURES = 12;
/** Boxes in the top row of each picture: box k is white where bit k of the second is set (see page.html). */
const BOXES = 6;

let made: Promise<Uint8Array<ArrayBuffer>> | null = null;

/** The film: H.264 in an MP4 whose index stands first, about 25 MB (of noise, below the boxes). Made once. */
export function film(): Promise<Uint8Array<ArrayBuffer>> {
  return made ??= makeFilm();
}

async function makeFilm(): Promise<Uint8Array<ArrayBuffer>> {
  await using folder = await tempDir();
  const file = join(folder.path, "film.mp4");
  const boxes = Array.from(
    { length: BOXES },
    (_, bit) =>
      `drawbox=x=${bit * 40}:y=0:w=40:h=40:color=white:t=fill:enable='mod(floor(n/${PICTURES * 2 ** bit}),2)'`,
  );
  await client("ffmpeg", [
    ...["-loglevel", "error", "-f", "lavfi", "-i", `color=gray:s=320x180:r=${PICTURES}:d=${FILM_SECONDS}`],
    ...["-vf", ["noise=alls=40:allf=t", "drawbox=x=0:y=0:w=320:h=40:color=black:t=fill", ...boxes].join()],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-qp", "20", "-g", String(PICTURES), "-pix_fmt", "yuv420p"],
    ...["-movflags", "+faststart", file],
  ]);
  return await Deno.readFile(file);
}
