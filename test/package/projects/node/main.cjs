const { Clip } = require("clipwright");

async function main() {
  const clip = await Clip.load("./model");
  const animals = await clip.zeroShotClassifier(["cat", "dog", "bird"]);
  const embedding = await clip.encodeImage("./photo.jpg");
  const [best] = await animals.classify("./photo.jpg");
  clip.dispose();
  console.log(`${best.label} ${embedding.data}`);
}
main();
