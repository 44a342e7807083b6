/** A page with a strict policy: loads from its own server, twice, with both kinds of tokenizer, encodes, classifies and searches. */

import { Clip } from "clipwright";
import { VectorIndex } from "clipwright/search";

const violations: string[] = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  violations.push(`${violatedDirective} ${blockedURI}`);
});

const models = new URL("/__models/csp/", location.href).href;

async function run(): Promise<unknown> {
  const clip = await Clip.load(`${models}models/clip-quickgelu-p8/hf/`, { device: "cpu" });
  const animals = await clip.zeroShotClassifier(["cat", "dog"]);
  const image = document.createElement("canvas");
  const [best] = await animals.classify(image);
  const kept = (await clip.cache.list()).length;
  const index = await VectorIndex.open("csp", { model: clip });
  await index.put({ id: "canvas", image });
  const [found] = await index.search({ image });
  await index.close();
  clip.dispose();
  const file = async (path: string) => (await fetch(models + path)).blob();
  const siglip = await Clip.load(
    {
      weights: await file("models/siglip-p16/hf/model.safetensors"),
      config: await (await file("models/siglip-p16/hf/config.json")).text(),
      tokenizer: await (await file("tokenizer/siglip-mini/tokenizer.json")).text(),
      tokenizerConfig: await (await file("tokenizer/siglip-mini/tokenizer_config.json")).text(),
    },
    { device: "cpu" },
  );
  const ids = await siglip.tokenize("a cat");
  siglip.dispose();
  return { best: typeof best?.score, kept, found: found?.id, ids: ids.length };
}

const answer = await run().catch((error) => ({ error: String(error) }));
// shows that the policy is in force
let evil = "allowed";
const seen = [...violations];
try {
  new Function("return 1")();
} catch {
  evil = "refused";
}
document.querySelector("#answer")?.replaceChildren(JSON.stringify({ answer, violations: seen, evil }));
document.title = "done";
