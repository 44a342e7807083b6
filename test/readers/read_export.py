"""Reads an export by NumPy, pandas, pyarrow, DuckDB and clip-retrieval, and searches it there.

scripts/check-readers.mjs runs it: python read_export.py FOLDER, which holds export/ and expected.json.
"""

import json
import sys
import sysconfig
import tempfile
import types
from pathlib import Path

import duckdb
import faiss
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from embedding_reader import EmbeddingReader

JSON_COLUMNS = ("tags", "mixed")


def as_metadata(row: dict) -> dict:
    """A row of a table as the metadata that were exported."""
    there = {key: value for key, value in row.items() if key != "image_path" and value is not None and value == value}
    return {key: json.loads(value) if key in JSON_COLUMNS else value for key, value in there.items()}


def check(reader: str, rows: list[dict], expected: dict) -> None:
    """Fails unless a reader found the ids and metadata that were exported, in their order."""
    assert [row["image_path"] for row in rows] == expected["ids"], reader
    got = [as_metadata(row) for row in rows]
    wrong = next((i for i, (a, b) in enumerate(zip(got, expected["metadata"], strict=True)) if a != b), None)
    assert wrong is None, f"{reader}: {got[wrong]} instead of {expected['metadata'][wrong]}"
    print(f"{reader}: {len(rows)} rows")


def clip_retrieval(out: Path, vectors: np.ndarray, expected: dict) -> None:
    """Its metadata provider and its search, over an index of what its reader of embeddings finds.

    `clip-retrieval index` builds that by autofaiss, which fails to write its report with NumPy 2.
    """
    # the package itself imports PyTorch, which reading does not need
    package = types.ModuleType("clip_retrieval")
    package.__path__ = [str(Path(sysconfig.get_paths()["purelib"]) / "clip_retrieval")]
    sys.modules["clip_retrieval"] = package
    from clip_retrieval.clip_back import load_index, load_metadata_provider, meta_to_dict

    reader = EmbeddingReader(embeddings_folder=str(out / "img_emb"), file_format="npy")
    built = faiss.IndexFlatIP(reader.dimension)
    for embeddings, _ in reader(batch_size=100):
        built.add(embeddings.astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        faiss.write_index(built, folder + "/image.index")
        index = load_index(folder + "/image.index", enable_faiss_memory_mapping=False)
        provider, _ = load_metadata_provider(str(out), False, False, index, None, False)
        metas = [meta_to_dict(meta) for meta in provider.get(range(len(vectors)))]
        check("clip-retrieval's metadata", metas, expected)
        queries = vectors[:: len(vectors) // 10]
        _, found = index.search(queries, 1)
        nearest = [metas[i]["image_path"] for i in found[:, 0]]
        assert nearest == expected["ids"][:: len(vectors) // 10], "clip-retrieval's index"
        print(f"clip-retrieval's index: {index.ntotal} vectors")


def main(folder: Path) -> None:
    """Reads everything."""
    out = folder / "export"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    given = np.fromfile(folder / "vectors.f32", "<f4").reshape(len(expected["ids"]), -1)
    arrays = [np.load(file) for file in sorted((out / "img_emb").glob("*.npy"))]
    assert all(array.dtype == np.float16 for array in arrays)
    vectors = np.concatenate(arrays)
    # the index may round before NumPy does: one unit of f16's last place
    assert np.abs(vectors.astype(np.float32) - given).max() <= 2**-11, "numpy"
    print(f"numpy: {vectors.shape[0]} rows of {vectors.shape[1]}")
    files = sorted(str(file) for file in (out / "metadata").glob("*.parquet"))
    frame = pd.concat([pd.read_parquet(file) for file in files])
    check("pandas", frame.astype(object).to_dict("records"), expected)
    check("pyarrow", ds.dataset(files).to_table().to_pylist(), expected)
    found = duckdb.sql(f"select * from read_parquet('{out}/metadata/*.parquet') order by n")
    check("duckdb", [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()], expected)
    clip_retrieval(out, vectors.astype(np.float32), expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
