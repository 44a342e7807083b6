"""Names of shards, as `clipwright embed` has them."""

from pathlib import Path

import pytest

from clipwright_scale.exit import Refused
from clipwright_scale.shards import Counts, Shard, counts_of, find_shards, name_of, part_names


def test_braces_and_colons_name_several(tmp_path: Path) -> None:
    """Also files that are not there."""
    at = str(tmp_path)
    names = [shard.name for shard in find_shards([f"{at}/a-{{00..02}}.tar::{at}/b.tar.gz", f"{at}/c.v2.csv"])]
    assert names == ["a-00", "a-01", "a-02", "b", "c"]
    (tmp_path / "x{1..3}.tar").touch()
    assert find_shards([f"{at}/x{{1..3}}.tar"]) == [Shard(f"{at}/x{{1..3}}.tar", "x{1")]


def test_addresses(tmp_path: Path) -> None:
    """Those of files are paths, as by `clipwright embed`; others are left to it."""
    file = f"file://{tmp_path}/a%20b-{{0..1}}.tar"
    assert find_shards([file]) == [Shard(f"{tmp_path}/a b-{n}.tar", f"a b-{n}") for n in range(2)]
    assert find_shards(["FILE:/a/b.tar?x#y"]) == [Shard("/a/b.tar", "b")]
    assert find_shards(["file://server/share/b.tar"]) == [Shard("//server/share/b.tar", "b")]
    web = "https://example.org/a/000.tar?key=1"
    assert find_shards([web]) == [Shard(web, "000")]
    assert name_of("https://example.org/a%20b.tar#c") == "a b"
    assert name_of("s3://bucket/a%20b#c.tar") == "a%20b#c"
    assert find_shards(["s3://bucket/a/{00..01}.tar"])[1] == Shard("s3://bucket/a/01.tar", "01")


def test_folders_and_links(tmp_path: Path) -> None:
    """A folder has its whole name, and a link the name of what it leads to."""
    (tmp_path / "set.v1").mkdir()
    (tmp_path / "link.tar").symlink_to(tmp_path / "real.tar")
    assert name_of(str(tmp_path / "set.v1")) == "set.v1"
    assert name_of(str(tmp_path / "link.tar")) == "real"


def test_two_of_a_name_are_refused() -> None:
    """As by `clipwright embed`, and braces that do not close."""
    for data, message in [("/a/0.tar::/b/0.tar", "both named 0"), ("/a/{0..3.tar", "Unbalanced")]:
        with pytest.raises(Refused, match=message):
            find_shards([data])


def test_only_whole_shards_count(tmp_path: Path) -> None:
    """The file of counts says that all is there."""
    assert counts_of(tmp_path, "0") is None
    (tmp_path / "0.done.json").write_text('{"embedded":3,"parts":2,"skipped":1}\n')
    assert counts_of(tmp_path, "0") == Counts(embedded=3, skipped=1, parts=2)
    assert part_names("0", Counts(parts=2)) == ["0-00000", "0-00001"]
