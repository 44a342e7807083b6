"""The shards of a data set: which there are, and which are embedded."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from braceexpand import UnbalancedBracesError, braceexpand

from clipwright_scale.exit import USAGE, Refused


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


def is_address(path: str) -> bool:
    """Whether a path is the address of a server or a store, which `clipwright embed` takes as it is."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def located(name: str) -> str:
    """Where a name points: `file:` addresses are paths, others stay as they are."""
    if re.match(r"file:/", name, re.IGNORECASE):
        parts = urlsplit(name)
        host = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
        return host + unquote(parts.path)
    return name if is_address(name) else os.path.abspath(name)


def name_of(path: str) -> str:
    """The name by which `clipwright embed` calls what it writes of a shard."""
    if is_address(path):
        scheme, _, key = path.partition("://")
        # what is an address's on a server is a name in a store
        file = unquote(urlsplit(path).path) if scheme.lower() in ("http", "https") else key
        return file.rpartition("/")[2].split(".")[0]
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
            raise Refused(USAGE, f"--data {pattern}: {error}") from error
        for path in map(located, paths):
            name = name_of(path)
            if name in shards:
                # a query may be a signature
                one, other = (re.sub(r"\?.*", "?…", at) if is_address(at) else at for at in (shards[name].path, path))
                raise Refused(6, f"{one} and {other} are both named {name}: embed them into folders of their own")
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
