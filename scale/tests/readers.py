"""Reads embeddings of `clipwright_scale --parquet` by NumPy, pandas, pyarrow and DuckDB, and searches them in LanceDB.

python scale/tests/readers.py FOLDER
"""

import json
import sys
import tempfile
from pathlib import Path

import duckdb
import lancedb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds


def by_numpy(out: Path) -> tuple[list[str], np.ndarray]:
    """Keys and embeddings as `clipwright embed` writes them."""
    parts = sorted(path.with_suffix("") for path in out.glob("*.npy") if not path.name.endswith(".text.npy"))
    rows = np.concatenate([np.load(f"{part}.npy") for part in parts])
    lines = [line for part in parts for line in Path(f"{part}.jsonl").read_text(encoding="utf-8").split("\n") if line]
    return [json.loads(line)["key"] for line in lines], rows


def check(out: Path) -> dict[str, int]:
    """Rows that each reader finds; fails where one finds other values."""
    keys, rows = by_numpy(out)
    assert len(keys) == len(rows)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    files = sorted(str(path) for path in out.glob("*.parquet"))
    table = ds.dataset(files).to_table()
    assert table.schema.field("image").type == pa.list_(pa.float32(), rows.shape[1])
    frame = pd.concat([pd.read_parquet(file) for file in files])
    with duckdb.connect() as connection:
        found = connection.execute("select key, image from read_parquet(?, file_row_number = true)", [files]).fetchall()
    for name, got_keys, got in [
        ("pyarrow", table["key"].to_pylist(), np.array(table["image"].to_pylist(), np.float32)),
        ("pandas", frame["key"].tolist(), np.stack(frame["image"].tolist())),
        ("duckdb", [key for key, _ in found], np.array([row for _, row in found], np.float32)),
    ]:
        assert got_keys == keys, name
        assert np.array_equal(got, rows), name
    return {"numpy": len(rows), "pyarrow": table.num_rows, "pandas": len(frame), "duckdb": len(found)} | {
        "lancedb": in_lancedb(table, keys, rows)
    }


def in_lancedb(table: pa.Table, keys: list[str], rows: np.ndarray) -> int:
    """Rows that LanceDB holds, whose nearest neighbours are those of NumPy."""
    with tempfile.TemporaryDirectory() as folder:
        images = lancedb.connect(folder).create_table("images", table)
        query = rows[len(rows) // 2]
        hits = images.search(query, vector_column_name="image").distance_type("cosine").limit(3).to_list()
        expected = np.sort(1 - rows @ query)[:3]
        assert np.allclose([hit["_distance"] for hit in hits], expected, atol=1e-5)
        assert {hit["key"] for hit in hits} <= set(keys)
        return images.count_rows()


if __name__ == "__main__":
    for reader, count in check(Path(sys.argv[1])).items():
        print(f"{reader}: {count} embeddings")
