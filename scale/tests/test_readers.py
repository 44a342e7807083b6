"""What is written is read by others."""

from readers import check

from conftest import SAMPLES, SHARDS, Whole


def test_others_read_the_embeddings(whole: Whole) -> None:
    """All rows, with the same values."""
    counts = check(whole.out)
    assert counts == dict.fromkeys(["numpy", "pyarrow", "pandas", "duckdb", "lancedb"], SHARDS * SAMPLES)
