/** What the tests of browsers encode: Node encodes it first, then each browser. */

import type { Clip, ClipSource } from "clipwright";

const FOLDER = "test/fixtures/models/clip-quickgelu-p8/hf";

/** Files of a checkpoint, by `read`. */
export async function checkpoint(
  read: (path: string) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<ClipSource & object> {
  const names = ["model.safetensors", "config.json", "preprocessor_config.json", "vocab.json", "merges.txt"];
  return Promise.all(names.map(async (name) => new File([await read(`${FOLDER}/${name}`)], name)));
}

/** Embeddings of pictures of each format and of captions, row after row. */
export async function embeddings(clip: Clip, read: (path: string) => Promise<Uint8Array<ArrayBuffer>>) {
  const pictures = ["baseline.jpg", "palette.png", "lossy.webp"].map((name) =>
    read(`test/fixtures/pictures/files/${name}`),
  );
  const images = await clip.encodeImage((await Promise.all(pictures)).map((bytes) => new Blob([bytes])));
  const texts = await clip.encodeText(["a photo of a cat", "two dogs on a beach"]);
  return { images: [...images.data], texts: [...texts.data] };
}
