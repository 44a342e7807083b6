/** An app's own worker, which uses clipwright with addresses relative to its script. The worker's name is the path to the fixtures. */

import { Clip, isClipError } from "clipwright";

const use = async () => {
  const clip = await Clip.load(`${self.name}models/clip-quickgelu-p8/hf/`, { device: "cpu", cache: false });
  const pixels = await clip.preprocess(`${self.name}preprocess/images/noise_60x45.png`);
  clip.dispose();
  return pixels.length;
};
postMessage(await use().catch((error) => (isClipError(error) ? error.code : String(error))));
