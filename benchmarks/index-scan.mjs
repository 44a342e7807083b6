/**
 * Measures exact search among vectors in memory, on one thread: the module `index` against a scan in JavaScript, by turns. Runs in Node
 * and in a page.
 */

const DIMENSION = 512;
const K = 10;
/** Best rows of an int8 search that are scored again from f16. */
const RESCORED = 40;
const QUERIES = 24;
const STORAGES = ["f32", "f16", "int8"];
/** Vectors that are encoded and added at once. */
const CHUNK = 2_000;

/** Numbers of a normal distribution, the same each time. */
function* normal(seed) {
  let state = seed;
  const uniform = () => {
    // xorshift
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 1) / (2 ** 32 + 1);
  };
  for (;;) {
    const [radius, angle] = [Math.sqrt(-2 * Math.log(uniform())), 2 * Math.PI * uniform()];
    yield radius * Math.cos(angle);
    yield radius * Math.sin(angle);
  }
}

/** Vectors around centres, as embeddings lie: each a centre and noise of a third of its length. */
function clustered(count, clusters, seed) {
  const numbers = normal(seed);
  const next = () => numbers.next().value;
  // vectors are sums of these: a number of its own for each value would take minutes
  const parts = Float32Array.from({ length: 1e6 + 7 }, next);
  const centres = Float32Array.from({ length: clusters * DIMENSION }, next);
  const vectors = new Float32Array(count * DIMENSION);
  for (let i = 0; i < count; i++) {
    const [centre, from] = [(i * 7919) % clusters, (i * 104_729) % (parts.length - DIMENSION)];
    for (let j = 0; j < DIMENSION; j++)
      vectors[i * DIMENSION + j] = centres[centre * DIMENSION + j] + (parts[from + j] ?? 0) / 3;
  }
  return vectors;
}

const vectorOf = (vectors, i) => vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION);

/** Unit vectors, for the scan in JavaScript. */
function normalized(vectors) {
  const unit = vectors.slice();
  for (let i = 0; i < unit.length; i += DIMENSION) {
    let sum = 0;
    for (let j = i; j < i + DIMENSION; j++) sum += unit[j] * unit[j];
    const inverse = 1 / Math.sqrt(sum);
    for (let j = i; j < i + DIMENSION; j++) unit[j] *= inverse;
  }
  return unit;
}

/** The scan that anyone would write, with its sums unrolled. */
function scan(unit, query) {
  const best = [];
  let threshold = Number.NEGATIVE_INFINITY;
  for (let at = 0, slot = 0; at < unit.length; at += DIMENSION, slot++) {
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let j = 0; j < DIMENSION; j += 4) {
      a += unit[at + j] * query[j];
      b += unit[at + j + 1] * query[j + 1];
      c += unit[at + j + 2] * query[j + 2];
      d += unit[at + j + 3] * query[j + 3];
    }
    const score = a + b + c + d;
    if (score <= threshold) continue;
    best.push({ slot, score });
    best.sort((a, b) => b.score - a.score);
    if (best.length > K) best.pop();
    if (best.length === K) threshold = best[K - 1].score;
  }
  return best.map(({ slot }) => slot);
}

const slotsFrom = (first, count) => Uint32Array.from({ length: count }, (_, i) => first + i);

/** Encodes vectors and adds them; returns how many a second. */
function add({ VectorCodec }, vectors, values, storage) {
  const codec = new VectorCodec(DIMENSION, storage);
  const count = values.length / DIMENSION;
  const began = performance.now();
  for (let first = 0; first < count; first += CHUNK) {
    const rows = codec.encode(values.subarray(first * DIMENSION, (first + CHUNK) * DIMENSION));
    vectors.put(slotsFrom(first, rows.length / codec.rowBytes), rows);
  }
  return (1000 * count) / (performance.now() - began);
}

/** Search in int8, and its best again in f16. */
function searchAgain(int8, exact, rowsOf, query) {
  const { slots } = int8.search(query, RESCORED);
  const scores = exact.scores(query, rowsOf(slots));
  return Array.from(slots, (slot, i) => ({ slot, score: scores[i] }))
    .sort((a, b) => b.score - a.score || a.slot - b.slot)
    .slice(0, K)
    .map(({ slot }) => slot);
}

/** Milliseconds of each way to search 100,000 vectors, and how many of the ten nearest it finds. */
function measureWays(wasm, memory, count) {
  const values = clustered(count, count / 100, 1);
  const unit = normalized(values);
  const tables = {};
  const rates = {};
  for (const storage of STORAGES) {
    tables[storage] = new wasm.Vectors(DIMENSION, storage);
    rates[storage] = add(wasm, tables[storage], values, storage);
  }
  const f16 = new wasm.VectorCodec(DIMENSION, "f16");
  const exact = tables.f16;
  const ways = {
    "JavaScript, f32": (query) => scan(unit, query),
    f32: (query) => tables.f32.search(query, K).slots,
    f16: (query) => tables.f16.search(query, K).slots,
    "int8 alone": (query) => tables.int8.search(query, K).slots,
    "int8, best 40 again in f16": (query) => searchAgain(tables.int8, f16, (slots) => exact.get(slots), query),
  };
  // between vectors of the set and far from its centres
  const noise = clustered(QUERIES, QUERIES, 2);
  const rows = Object.fromEntries(Object.keys(ways).map((name) => [name, { ms: [], found: 0 }]));
  for (let i = -2; i < QUERIES; i++) {
    const near = vectorOf(values, (i + 2) * 31);
    const query = vectorOf(noise, Math.max(i, 0)).map((x, j) => near[j] + 0.3 * x);
    const truth = new Set(tables.f32.search(query, K).slots);
    const length = Math.hypot(...query);
    const unitQuery = query.map((x) => x / length);
    for (const [name, search] of Object.entries(ways)) {
      const began = performance.now();
      const slots = search(name.startsWith("Java") ? unitQuery : query);
      const ms = performance.now() - began;
      // the first warm the engine up
      if (i < 0) continue;
      rows[name].ms.push(ms);
      rows[name].found += [...slots].filter((slot) => truth.has(slot)).length;
    }
  }
  const many = values.slice(0, 64 * DIMENSION);
  const together = Object.fromEntries(
    STORAGES.map((storage) => {
      const began = performance.now();
      tables[storage].search(many, K);
      return [storage, (performance.now() - began) / 64];
    }),
  );
  for (const table of Object.values(tables)) table.free();
  const recall = ({ found }) => found / (K * QUERIES);
  return {
    ways: Object.entries(rows).map(([name, row]) => ({ name, ms: row.ms, recall: recall(row) })),
    rates,
    together,
    wasmBytes: memory.buffer.byteLength,
  };
}

/** Milliseconds of a search among a million 8-bit vectors, and the module's memory. */
function measureMillion(wasm, memory) {
  const count = 1_000_000;
  const codec = new wasm.VectorCodec(DIMENSION, "int8");
  const vectors = new wasm.Vectors(DIMENSION, "int8");
  const block = clustered(50_000, 1_000, 3);
  const rows = codec.encode(block);
  let seconds = 0;
  for (let first = 0; first < count; first += CHUNK) {
    // each chunk turned by some values, so that none is twice
    const from = (first % 50_000) * DIMENSION;
    const chunk = rows.slice(from, from + CHUNK * DIMENSION);
    if (first >= 50_000) chunk.set(rows.subarray(0, first / 50_000), 0);
    const began = performance.now();
    vectors.put(slotsFrom(first, CHUNK), chunk);
    seconds += (performance.now() - began) / 1000;
  }
  const ms = [];
  for (let i = 0; i < 12; i++) {
    const began = performance.now();
    vectors.search(vectorOf(block, i * 17), RESCORED);
    ms.push(performance.now() - began);
  }
  const result = { ms: ms.slice(2), seconds, bytes: vectors.bytes, wasmBytes: memory.buffer.byteLength };
  vectors.free();
  return result;
}

/** Measures on fresh instances of the module: `glue` returns its glue, `binary` its bytes or address. */
export async function measureIndex(glue, binary) {
  const instance = async () => {
    const wasm = await glue();
    const { memory } = await wasm.default({ module_or_path: await binary() });
    return [wasm, memory];
  };
  const ways = measureWays(...(await instance()), 100_000);
  return { ...ways, million: measureMillion(...(await instance())) };
}
