"""The shards of a data set: which there are, and which are embedded."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from braceexpand import UnbalancedBracesError, braceexpand

from clipwright_scale.exit import Refused


@dataclass(frozen=True)
class Shard:
    """A tar file, a table or a folder."""

    path: str
    """Where it is, the same on each node."""
    name: str
    """What its embeddings are called."""


@dataclass(frozen=True)
class Counts:
    """How many samples of a shard were embedded and skipped, in how many files."""

    embedded: int = 0
    skipped: int = 0
    parts: int = 0


def name_of(path: str) -> str:
    """The name by which `clipwright embed` calls what it writes of a shard."""
    real = Path(os.path.realpath(path))
    return real.name if real.is_dir() else real.name.split(".")[0]


def find_shards(data: Iterable[str]) -> list[Shard]:
    """The shards that paths name, by the rules of `clipwright embed --data`: braces, and `::` between several.

    A path without a file is a shard, too: its node says that it is missing, and the others go on.
    """
    shards: dict[str, Shard] = {}
    for pattern in (part for paths in data for part in paths.split("::")):
        try:
            paths = [pattern] if os.path.exists(pattern) else list(braceexpand(pattern))
        except (UnbalancedBracesError, ValueError) as error:
            raise Refused(2, f"--data {pattern}: {error}") from error
        for path in map(os.path.abspath, paths):
            name = name_of(path)
            if name in shards:
                other = shards[name].path
                raise Refused(6, f"{other} and {path} are both named {name}: embed them into folders of their own")
            shards[name] = Shard(path, name)
    return list(shards.values())


def part_names(name: str, counts: Counts) -> list[str]:
    """Names of the files of a shard, without their ends."""
    return [f"{name}-{number:05}" for number in range(counts.parts)]


def counts_of(out: Path, name: str) -> Counts | None:
    """Counts of a shard that is embedded; None for any other. The file is written last."""
    try:
        return Counts(**json.loads((out / f"{name}.done.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
