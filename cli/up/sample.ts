/**
 * A picture that looks like a photograph, for those who brought none: an evening over hills, with the noise
 * and the fine grass that make a real photograph's size. The same picture each time.
 */
import type { Image as ImagescriptImage } from "imagescript";

const WIDTH = 1620;
const HEIGHT = 1080;

/**
 * Draws it, as a JPEG of some hundred kilobytes.
 *
 * imagescript asks for permissions merely by being imported, so it is loaded only here.
 */
export async function samplePicture(): Promise<Uint8Array<ArrayBuffer>> {
  const { Image } = await import("imagescript") as { Image: typeof ImagescriptImage };
  const image = new Image(WIDTH, HEIGHT);
  paint(image.bitmap, WIDTH, HEIGHT);
  return new Uint8Array(await image.encodeJPEG(92));
}

type Colour = readonly [red: number, green: number, blue: number];

const ZENITH: Colour = [38, 52, 104];
const DUSK: Colour = [236, 142, 106];
const GLOW: Colour = [255, 214, 150];
const HAZE: Colour = [206, 132, 122];
const GRASS: Colour = [22, 34, 30];
const HILLS = 5;

/** Fills RGBA bytes, row by row. Lengths are in units of the picture's height. */
function paint(bitmap: Uint8Array | Uint8ClampedArray, width: number, height: number): void {
  const random = generator(20260506);
  const sun = { x: 0.62 * width / height, y: 0.5 };
  const ridges = Array.from({ length: HILLS }, (_, at) => ridge(random, at, width, height));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / height, y / height];
      // The nearest hill that covers this point; those further away show less of their own colour.
      let hill = HILLS - 1;
      while (hill >= 0 && v < ridges[hill]![x]!) hill--;
      let colour: Colour;
      if (hill < 0) {
        const far = Math.hypot(u - sun.x, v - sun.y);
        const clouds = waves(u, v) * smooth(0.1, 0.45, v) * 0.35;
        colour = mix(mix(ZENITH, DUSK, smooth(0, 0.62, v) + clouds), GLOW, Math.exp(-far * 4.5) * 0.9);
        if (far < 0.055) colour = mix(colour, [255, 246, 222], smooth(0.055, 0.045, far));
      } else {
        const depth = (v - ridges[hill]![x]!) * 3;
        colour = mix(HAZE, GRASS, (hill + 0.6) / HILLS + depth * 0.25);
      }
      // Grain of a sensor, and grass on the nearest hills.
      const grain = (random() + random() - 1) * (hill >= HILLS - 2 ? 26 : hill >= 0 ? 11 : 6);
      const at = 4 * (y * width + x);
      for (let channel = 0; channel < 3; channel++) {
        bitmap[at + channel] = Math.max(0, Math.min(255, colour[channel]! + grain));
      }
      bitmap[at + 3] = 255;
    }
  }
}

/** The upper edge of one hill, for each column: a few sines of random phase, finer and lower each. */
function ridge(random: () => number, at: number, width: number, height: number): Float64Array {
  const parts = Array.from({ length: 6 }, (_, octave) => ({
    phase: random() * 2 * Math.PI,
    wave: 2.2 * 1.9 ** octave * (0.8 + 0.4 * random()),
    high: 0.045 / 1.9 ** octave,
  }));
  const base = 0.54 + at * 0.095;
  return Float64Array.from({ length: width }, (_, x) => {
    const u = x / height;
    return base + parts.reduce((sum, { phase, wave, high }) => sum + high * Math.sin(u * wave + phase), 0);
  });
}

/** Soft bands of cloud, from 0 to 1. */
function waves(u: number, v: number): number {
  const bend = Math.sin(u * 2.1 + 1.3) * 0.6 + Math.sin(u * 5.3) * 0.25;
  return Math.max(0, Math.sin(v * 26 + bend * 4) * Math.sin(u * 1.7 + v * 9 + 2));
}

function mix(a: Colour, b: Colour, share: number): Colour {
  const t = Math.max(0, Math.min(1, share));
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** 0 before `from`, 1 after `to`, and smooth in between. */
function smooth(from: number, to: number, x: number): number {
  const t = Math.max(0, Math.min(1, (x - from) / (to - from)));
  return t * t * (3 - 2 * t);
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
