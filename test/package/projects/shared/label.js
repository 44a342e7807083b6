import { Clip } from "clipwright";

export async function label(model, photo) {
  const clip = await Clip.load(model);
  const animals = await clip.zeroShotClassifier(["cat", "dog", "bird"]);
  const embedding = await clip.encodeImage(photo);
  const [best] = await animals.classify(photo);
  clip.dispose();
  return `${best.label} ${embedding.data}`;
}
