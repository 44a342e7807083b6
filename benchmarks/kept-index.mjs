/**
 * A kept index of 100,000 vectors: adding, searching and opening it again, in Chromium with a profile on the disk (pages without one have
 * their files in memory, behind another process) and in Node. Runs on the built package: npm run build, or build:release.
 *
 *     npm run bench:kept -- 100000
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openProfile } from "../scripts/page.mjs";

const ITEMS = Number(process.argv[2] ?? 100_000);

/** Measures one storage type; runs in the page, too, and so uses nothing from outside. */
async function measure({ items, storage, address, module }) {
  const { VectorIndex } = await import(module);
  const [dimension, batch] = [512, 5000];
  const time = async (use) => {
    const begin = performance.now();
    await use();
    return performance.now() - begin;
  };
  const middle = (times) => times.sort((a, b) => a - b)[times.length >> 1];
  const data = new Float32Array(batch * dimension);
  const embeddings = { data, shape: [batch, dimension], normalized: true };
  const index = await VectorIndex.open(address, { dimension, storage });
  let adding = 0;
  for (let from = 0; from < items; from += batch) {
    for (let i = 0; i < data.length; i++) data[i] = Math.random() - 0.5;
    const ids = Array.from({ length: batch }, (_, i) => `photo-${from + i}.jpg`);
    const metadata = ids.map((_, i) => ({ year: 2000 + (i % 20) }));
    adding += await time(() => index.add({ ids, embeddings, metadata }));
  }
  const row = (i) => data.subarray(i * dimension, (i + 1) * dimension);
  const repeat = async (count, use) => {
    const times = [];
    for (let i = 0; i < count; i++) times.push(await time(() => use(i)));
    return middle(times);
  };
  const searching = await repeat(31, (i) => index.search(row(i)));
  const filtered = await repeat(5, (i) => index.search(row(i), { filter: { year: 2005 } }));
  const one = await repeat(21, (i) => index.put({ id: `one-${i}`, vector: row(i) }));
  await index.close();
  const opening = await repeat(5, async () => (await VectorIndex.open(address)).close());
  await VectorIndex.delete(address);
  return { adding: (items / adding) * 1000, searching, filtered, one, opening };
}

const folder = mkdtempSync(join(tmpdir(), "clipwright-kept-index-"));
const browser = await openProfile(join(folder, "profile"));
const rows = [];
for (const storage of ["int8", "f16", "f32"]) {
  const common = { items: ITEMS, storage };
  const inPage = { ...common, address: `bench-${storage}`, module: "/dist/search.js" };
  const page = await browser.visit("benchmarks/page.html", (page) => page.evaluate(measure, inPage));
  rows.push([`Chromium, ${storage}`, page]);
  const address = { path: join(folder, `${storage}.sqlite`) };
  rows.push([`Node, ${storage}`, await measure({ ...common, address, module: "../dist/search.node.js" })]);
}
await browser.close();
rmSync(folder, { recursive: true });
console.log(`${ITEMS} vectors of 512 numbers with metadata; medians, of calls of VectorIndex`);
console.table(
  Object.fromEntries(
    rows.map(([name, { adding, searching, filtered, one, opening }]) => [
      name,
      {
        "added a second": Math.round(adding),
        "search, ms": Number(searching.toFixed(1)),
        "with a filter, ms": Number(filtered.toFixed(1)),
        "one item, ms": Number(one.toFixed(1)),
        "open, ms": Math.round(opening),
      },
    ]),
  ),
);
