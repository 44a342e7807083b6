const { Clip } = require("clipwright");

test("labels a photo", async () => {
  const clip = await Clip.load("./model");
  const animals = await clip.zeroShotClassifier(["cat", "dog", "bird"]);
  const embedding = await clip.encodeImage(require("node:fs").readFileSync("./photo.jpg"));
  const [best] = await animals.classify("./photo.jpg");
  console.log(`${best.label} ${embedding.data}`);
  clip.dispose();
});
