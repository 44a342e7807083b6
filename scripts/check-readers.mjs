/**
 * `npm run check:readers`: exports an index, and reads the files by NumPy, pandas, pyarrow, DuckDB and clip-retrieval
 * (test/readers/read_export.py). It installs 0.5 GB of Python packages the first time.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "./build.mjs";
import { mustRun, ROOT, say } from "./jobs.mjs";
import { setUpPython } from "./python.mjs";

const ROWS = 1000;
const DIMENSION = 64;

await build();
const { VectorIndex } = await import("clipwright/search");

const folder = mkdtempSync(join(tmpdir(), "clipwright-readers-"));
say("exporting an index");
const ids = Array.from({ length: ROWS }, (_, i) => `photos/${i} ü 🙂.jpg`);
// keys that not all rows have, and types that differ; JSON keeps both
const metadata = ids.map((_, n) => ({
  n,
  rating: n % 7 === 0 ? 0.5 : n,
  album: n % 2 ? "città" : "",
  ...(n % 3 === 0 && { seen: n % 2 === 0 }),
  ...(n > 500 && { late: `${n}` }),
  tags: ["a", { n }],
  mixed: [n, `${n}`, null][n % 3],
}));
const vectors = Float32Array.from({ length: ROWS * DIMENSION }, (_, i) => Math.sin(i * 12.9898) * Math.cos(i * 0.37));
for (let row = 0; row < ROWS; row++) {
  const vector = vectors.subarray(row * DIMENSION, (row + 1) * DIMENSION);
  const norm = Math.hypot(...vector);
  for (let i = 0; i < DIMENSION; i++) vector[i] /= norm;
}
const index = await VectorIndex.inMemory({ dimension: DIMENSION, storage: "f32" });
await index.add({ ids, embeddings: { data: vectors, shape: [ROWS, DIMENSION], normalized: true }, metadata });
for await (const { name, data } of index.exportFiles({ rowsPerFile: 90 })) {
  const path = join(folder, "export", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
}
await index.close();
writeFileSync(join(folder, "vectors.f32"), vectors);
writeFileSync(join(folder, "expected.json"), JSON.stringify({ ids, metadata }));

const python = await setUpPython(join(ROOT, "test", "readers", "requirements.txt"), ["--no-deps"]);
await mustRun(python, [join(ROOT, "test", "readers", "read_export.py"), folder], { prefix: "python   |" });
rmSync(folder, { recursive: true });
