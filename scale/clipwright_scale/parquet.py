"""Embeddings as Parquet: a row an image, with its key, its captions and a vector of fixed size, as LanceDB takes it."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clipwright_scale.shards import Counts, part_names


def vectors(file: Path) -> pa.FixedSizeListArray:
    """The rows of a NumPy file."""
    rows = np.load(file)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1), pa.float32()), rows.shape[1])


def part_table(out: Path, part: str) -> pa.Table:
    """The files of a part as a table: `key`, `captions`, `image`, and `text` if captions were embedded."""
    with (out / f"{part}.jsonl").open(encoding="utf-8", newline="\n") as file:
        lines = [json.loads(line) for line in file]
    columns = {
        "key": pa.array([line["key"] for line in lines], pa.string()),
        "captions": pa.array([line["captions"] for line in lines], pa.list_(pa.string())),
        "image": vectors(out / f"{part}.npy"),
    }
    texts = out / f"{part}.text.npy"
    return pa.table(columns | ({"text": vectors(texts)} if texts.exists() else {}))


def write_whole(table: pa.Table, path: Path) -> None:
    """Writes a table under a temporary name, to the disk, and renames it."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".draft", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        # what mkstemp makes is its owner's alone
        mask = os.umask(0)
        os.umask(mask)
        draft.chmod(0o666 & ~mask)
        draft.replace(path)
    except BaseException:
        draft.unlink()
        raise


def has_parquet(out: Path, name: str, counts: Counts) -> bool:
    """Whether each part of a shard is there as Parquet."""
    return all((out / f"{part}.parquet").exists() for part in part_names(name, counts))


def write_parquet(out: Path, name: str, counts: Counts) -> None:
    """Writes the parts of an embedded shard that are not yet there."""
    for part in part_names(name, counts):
        path = out / f"{part}.parquet"
        if not path.exists():
            write_whole(part_table(out, part), path)
