/** Every kind of image gives the same pixels in Node and in the browser. */

import { Clip, type ImageInput } from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fixture, inBrowser, maxError, startModelServer, text } from "../support";

let clip: Clip;
let server: Awaited<ReturnType<typeof startModelServer>>;
let png: Uint8Array<ArrayBuffer>;
let expected: Float32Array;
const PNG = "preprocess/images/noise_60x45.png";

beforeAll(async () => {
  server = await startModelServer();
  clip = await Clip.load(
    {
      weights: await fixture("models/clip-quickgelu-p8/open_clip/open_clip_model.safetensors"),
      config: await text("models/clip-quickgelu-p8/open_clip/open_clip_config.json"),
    },
    { device: "cpu", towers: "image" },
  );
  png = await fixture(PNG);
  expected = new Float32Array((await fixture("preprocess/golden/noise_60x45_png.rgb8.open_clip.32.bin")).buffer);
});
afterAll(async () => {
  clip.dispose();
  await server.stop();
});

const same = async (image: ImageInput) => expect(maxError(await clip.preprocess(image), expected)).toBeLessThan(1e-6);

/** In the browser: pixels as the platform decodes them. An opaque sRGB PNG is the same everywhere. */
async function drawn(): Promise<Record<string, ImageInput>> {
  const blob = new Blob([png], { type: "image/png" });
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  context.drawImage(bitmap, 0, 0);
  const offscreen = new OffscreenCanvas(width, height);
  offscreen.getContext("2d")?.drawImage(bitmap, 0, 0);
  const img = new Image();
  img.src = URL.createObjectURL(blob);
  await img.decode();
  return {
    ImageBitmap: bitmap,
    canvas,
    OffscreenCanvas: offscreen,
    ImageData: context.getImageData(0, 0, width, height),
    img,
    VideoFrame: new VideoFrame(canvas, { timestamp: 0 }),
    "blob address": img.src,
  };
}

test("bytes, blobs and addresses", async () => {
  await same(png);
  await same(png.buffer);
  await same(new Blob([png]));
  await same(new File([png], "noise.png"));
  await same(`${server.base}images/${PNG}`);
  await same(new URL(`${server.base}images/${PNG}`));
  const data = `data:image/png;base64,${btoa(String.fromCharCode(...png))}`;
  await same(data);
  if (inBrowser) await same(`/test/fixtures/${PNG}`);
  else {
    await same(new URL(`../fixtures/${PNG}`, import.meta.url));
    await same(decodeURIComponent(new URL(`../fixtures/${PNG}`, import.meta.url).pathname));
    await same((await import("node:buffer")).Buffer.from(png));
  }
});

test("bitmaps, canvases and frames", async () => {
  if (!inBrowser) return;
  for (const [name, image] of Object.entries(await drawn())) {
    expect(maxError(await clip.preprocess(image), expected), name).toBeLessThan(1e-6);
    // the argument can be used again
    expect(maxError(await clip.preprocess(image), expected), `${name}, again`).toBeLessThan(1e-6);
  }
});

test("GIF, WebP, BMP and palette PNG decode as in a browser", async () => {
  for (const name of ["animated_48x40.gif", "animated_50x64.webp", "palette_90x60.png", "alpha_96x72.png"]) {
    const golden = `preprocess/golden/${name.replace(".", "_")}.rgb8.open_clip.32.bin`;
    const pixels = await clip.preprocess(await fixture(`preprocess/images/${name}`));
    // lossy WebP decoders differ by a level
    const bound = name.endsWith(".webp") ? 0.05 : 1e-6;
    expect(maxError(pixels, new Float32Array((await fixture(golden)).buffer)), name).toBeLessThan(bound);
  }
  // 24 bits, bottom row first, rows padded to four bytes: red above blue
  const bmp = new Uint8Array(54 + 16);
  const view = new DataView(bmp.buffer);
  bmp.set([0x42, 0x4d]);
  for (const [at, value] of [
    [2, 70],
    [10, 54],
    [14, 40],
    [18, 2],
    [22, 2],
    [34, 16],
  ] as const)
    view.setUint32(at, value, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  bmp.set([255, 0, 0, 255, 0, 0], 54);
  bmp.set([0, 0, 255, 0, 0, 255], 62);
  const raw = { data: new Uint8Array([255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255]), width: 2, height: 2 };
  expect(maxError(await clip.preprocess(bmp), await clip.preprocess(raw))).toBe(0);
});

test("a huge declared size, SVG and failed downloads are refused", async () => {
  const bomb = new Uint8Array(await fixture("preprocess/images/pixel_1x1.png"));
  const view = new DataView(bomb.buffer);
  view.setUint32(16, 20_000);
  view.setUint32(20, 20_000);
  let crc = 0xffffffff;
  for (const byte of bomb.subarray(12, 29)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(29, ~crc >>> 0);
  const cases: [ImageInput, string, RegExp][] = [
    [bomb, "image-too-large", /image 0: .*at most 16384 pixels on a side/],
    [new Blob(['<svg xmlns="http://www.w3.org/2000/svg"/>']), "undecodable-image", /SVG, which has no pixels/],
    [`${server.base}images/nothing.png`, "source-unreadable", /cannot fetch the image: HTTP 404/],
    [png.subarray(0, png.length / 2), "undecodable-image", /image 0/],
    ["", "invalid-image", /got string/],
    [{ data: new Uint8Array(5), width: 2, height: 2 }, "shape-mismatch", /got 5 bytes/],
  ];
  for (const [image, code, message] of cases) {
    await expect(clip.preprocess(image)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  }
  await same(png);
});
