"""What the tests share: shards of emoji, two Ray nodes on this machine, and the driver as a user runs it."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "test/fixtures/models/clip-gelu-p32-laion/open_clip"
EMOJI = ROOT / "examples/data/emoji-train.tar"
SHARDS = 8
SAMPLES = 300
FLAGS = ("--device", "cpu", "--part-size", "100")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "scale")}
"""Of the driver."""


def programs_of(out: Path, program: str) -> list[int]:
    """Processes of the native program that write to a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if command[0] == program and str(out) in command:
            found.append(int(folder.name))
    return found


def contents(out: Path) -> dict[str, bytes]:
    """The files of a folder; hidden ones are drafts of killed processes."""
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def write_shard(
    path: Path, source: tarfile.TarFile, members: Iterable[tuple[tarfile.TarInfo, tarfile.TarInfo]]
) -> None:
    """Writes a shard of members of another: the header of each, and the member with its bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for header, member in members:
            shard.addfile(header, source.extractfile(member))


@dataclass
class Ran:
    """How the driver or the native program ended."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """The last event."""
        return self.events[-1]


@dataclass
class Scale:
    """Starts the driver."""

    program: str
    address: str

    def command(
        self, data: str, out: Path, *options: str, flags: tuple[str, ...] = FLAGS, model: Path = MODEL
    ) -> list[str]:
        """Its command line."""
        start = [sys.executable, "-m", "clipwright_scale", str(model), "--data", data, "--out", str(out), "--json"]
        return [*start, "--program", self.program, "--address", self.address, *options, "--", *flags]

    def run(
        self,
        data: str,
        out: Path,
        *options: str,
        flags: tuple[str, ...] = FLAGS,
        model: Path = MODEL,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Ran:
        """Runs it to its end."""
        command = self.command(data, out, *options, flags=flags, model=model)
        child = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            meanwhile()
            stdout, stderr = child.communicate(timeout=240)
        finally:
            child.kill()
        return Ran(child.returncode, [json.loads(line) for line in stdout.splitlines()], stderr)


@pytest.fixture(scope="session")
def program() -> str:
    """The native program."""
    return os.environ["CLIPWRIGHT"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shards of some emoji each, as `--data` takes them."""
    folder = tmp_path_factory.mktemp("shards")
    with tarfile.open(EMOJI) as emoji:
        members = emoji.getmembers()[: 2 * SAMPLES * SHARDS]
        for number in range(SHARDS):
            own = members[2 * SAMPLES * number : 2 * SAMPLES * (number + 1)]
            write_shard(folder / f"{number:03}.tar", emoji, zip(own, own, strict=True))
    return f"{folder}/{{000..{SHARDS - 1:03}}}.tar"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A head without processors, and two nodes with one each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    memory = {"object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    for _ in range(2):
        made.add_node(num_cpus=1, **memory)
    yield made
    made.shutdown()


@pytest.fixture(scope="session")
def scale(program: str, cluster: Cluster) -> Scale:
    """The driver, on the two nodes."""
    return Scale(program, cluster.address)


@dataclass
class Whole:
    """What an undisturbed run wrote."""

    out: Path
    files: dict[str, bytes]
    ran: Ran


@pytest.fixture(scope="session")
def whole(scale: Scale, data: str, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """An undisturbed run, with Parquet and captions."""
    out = tmp_path_factory.mktemp("whole") / "out"
    ran = scale.run(data, out, "--parquet", flags=(*FLAGS, "--texts", "--truncate"))
    assert ran.code == 0, ran.stderr
    return Whole(out, contents(out), ran)
