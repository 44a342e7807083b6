"""The driver on two Ray nodes of this machine: what it embeds, and what kills it survives."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from clipwright_scale.__main__ import arguments
from conftest import FLAGS, MODEL, SAMPLES, SHARDS, Ran, Scale, Whole, contents, programs_of

ALL = {"done": SHARDS, "skipped": 0, "failed": 0}
TEXTS = (*FLAGS, "--texts", "--truncate")


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def states(ran: Ran, state: str) -> list[str]:
    """Names of the shards that came into a state."""
    return sorted(event["name"] for event in ran.events if event.get("state") == state)


def parent_of(process: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def with_descendants(process: int) -> list[int]:
    """A process and all that it started, and so on."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(parent_of(int(folder.name)), []).append(int(folder.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found


def without_parquet(files: dict[str, bytes]) -> dict[str, bytes]:
    """What `clipwright embed` itself writes."""
    return {name: file for name, file in files.items() if not name.endswith(".parquet")}


def test_shards_are_spread_over_both_nodes(whole: Whole, scale: Scale, data: str, tmp_path: Path) -> None:
    """The files are those of one process."""
    summary = whole.ran.summary
    assert summary["shards"] == ALL
    assert summary["embedded"] == SHARDS * SAMPLES
    assert 0 < summary["busy"] <= 1
    assert summary["imagesPerSecond"] > 0
    assert len({event["node"] for event in whole.ran.events if event["type"] == "shard"}) == 2
    alone = tmp_path / "alone"
    command = [scale.program, "embed", str(MODEL), "--data", data, "--out", str(alone), "--threads", "1", *TEXTS]
    subprocess.run(command, check=True, capture_output=True)
    assert contents(alone) == without_parquet(whole.files)
    parts = SHARDS * SAMPLES // 100
    assert len([name for name in whole.files if name.endswith(".parquet")]) == parts


def test_what_is_done_is_skipped(whole: Whole, scale: Scale, data: str) -> None:
    """Another run computes nothing, and one with other settings is refused."""
    again = scale.run(data, whole.out, "--parquet", flags=TEXTS)
    assert (again.code, again.summary["shards"]) == (0, {"done": 0, "skipped": SHARDS, "failed": 0})
    other = scale.run(data, whole.out, "--parquet")
    assert other.code == 10, other.stderr
    assert "choose another folder" in other.summary["message"]
    assert contents(whole.out) == whole.files
    # a lost file of Parquet is made again
    (whole.out / "003-00001.parquet").unlink()
    mended = scale.run(data, whole.out, "--parquet", flags=TEXTS)
    assert (mended.code, states(mended, "done")) == (0, ["003"])
    assert contents(whole.out) == whole.files


def test_killed_processes_lose_nothing(whole: Whole, scale: Scale, data: str, tmp_path: Path) -> None:
    """`kill -9` of the program, and of the Ray worker that runs it."""
    out = tmp_path / "out"

    def kill_some() -> None:
        for number in range(4):
            wait_for(lambda number=number: len(list(out.glob("*.npy"))) > 4 * number)
            wait_for(lambda: programs_of(out, scale.program))
            victim = programs_of(out, scale.program)[0]
            os.kill(victim if number % 2 == 0 else parent_of(victim), signal.SIGKILL)
            # a worker's program ends with it
            wait_for(lambda victim=victim: victim not in programs_of(out, scale.program))

    ran = scale.run(data, out, "--parquet", "--attempts", "5", flags=TEXTS, meanwhile=kill_some)
    assert (ran.code, ran.summary["shards"]) == (0, ALL), ran.stderr
    # a process may have ended by itself just before its kill
    assert ran.summary["retries"] >= 2, ran.events
    assert contents(out) == whole.files


def test_a_killed_node_loses_nothing(whole: Whole, scale: Scale, cluster: Cluster, data: str, tmp_path: Path) -> None:
    """`kill -9` of all that is a node: the other node goes on."""
    out = tmp_path / "out"
    node = next(iter(cluster.worker_nodes))
    raylet = node.all_processes["raylet"][0].process.pid

    def node_works() -> bool:
        return bool(set(programs_of(out, scale.program)) & set(with_descendants(raylet)))

    def kill_node() -> None:
        wait_for(lambda: len(list(out.glob("*.npy"))) >= 3)
        wait_for(node_works)
        for process in with_descendants(raylet):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    ran = scale.run(data, out, "--parquet", flags=TEXTS, meanwhile=kill_node)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    assert (ran.code, ran.summary["shards"]) == (0, ALL), ran.stderr
    assert ran.summary["retries"] >= 1
    assert contents(out) == whole.files


@pytest.mark.parametrize("group", ["1", "5"])
def test_a_damaged_shard_is_reported(whole: Whole, scale: Scale, data: str, tmp_path: Path, group: str) -> None:
    """The others go on, also those that the same process was to embed."""
    shards = tmp_path / "shards"
    shutil.copytree(Path(data).parent, shards)
    with (shards / "002.tar").open("r+b") as file:
        file.truncate(300_000)
    (shards / "005.tar").write_bytes(b"no tar")
    (shards / "006.tar").unlink()
    out = tmp_path / "out"
    options = ("--shards-per-task", group, "--attempts", "2")
    ran = scale.run(f"{shards}/{{000..{SHARDS - 1:03}}}.tar", out, *options, flags=TEXTS)
    assert ran.code == 1, ran.stderr
    assert states(ran, "failed") == ["002", "005", "006"]
    # a missing file may come
    assert states(ran, "retried") == ["006"]
    messages = {event["name"]: event["message"] for event in ran.events if event.get("state") == "failed"}
    assert "truncated" in messages["002"]
    assert "expected a tar file" in messages["005"]
    assert "No such file" in messages["006"]
    good = {name: file for name, file in without_parquet(whole.files).items() if name[:3] not in messages}
    assert {name: file for name, file in contents(out).items() if name[:3] not in messages} == good


def test_what_no_shard_can_survive_ends_the_run(scale: Scale, data: str, tmp_path: Path) -> None:
    """With the exit code of `clipwright`, and at once."""
    out = tmp_path / "out"
    for options, flags, code, message in [
        ((), ("--no-such-flag",), 2, "no-such-flag"),
        ((), (*FLAGS, "--dtype", "f8"), 2, "f8"),
        ((), (*FLAGS, "--out=elsewhere"), 2, "the driver sets this flag itself"),
        (("--program", "/no/clipwright"), FLAGS, 127, "install clipwright on each node"),
        (("--gpus-per-shard", "1"), FLAGS, 8, "no node of the cluster"),
        (("--address", "127.0.0.1:1"), FLAGS, 8, "no Ray cluster"),
    ]:
        ran = scale.run(data, out, *options, flags=flags)
        assert (ran.code, ran.summary["type"]) == (code, "error"), ran.stderr
        assert message in ran.summary["message"]


def test_a_wrong_model_is_refused_once(scale: Scale, data: str, tmp_path: Path) -> None:
    """With the exit code of `clipwright`, before any shard."""
    damaged = tmp_path / "damaged"
    shutil.copytree(MODEL, damaged)
    (damaged / "open_clip_model.safetensors").write_bytes(b"no weights")
    for model, code, message in [(tmp_path / "no-model", 6, "no-model"), (damaged, 4, "safetensors")]:
        ran = scale.run(data, tmp_path / "out", model=model)
        assert (ran.code, [event["type"] for event in ran.events]) == (code, ["error"]), ran.stderr
        assert message in ran.summary["message"]


@pytest.mark.parametrize(("flag", "value"), [("--gpus-per-shard", "-1"), ("--cpus-per-shard", "0")])
def test_numbers_out_of_their_range_are_refused(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the flag."""
    with pytest.raises(SystemExit, match="2"):
        arguments().parse_args([str(MODEL), "--data", "a", "--out", "b", f"{flag}={value}"])
    assert flag in capsys.readouterr().err


def test_a_shard_that_hangs_is_given_up(scale: Scale, data: str, tmp_path: Path) -> None:
    """After `--timeout`."""
    slow = tmp_path / "slow"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *001.tar*) exec sleep 600;; esac\nexec {scale.program} "$@"\n')
    slow.chmod(0o755)
    options = ("--program", str(slow), "--timeout", "25", "--attempts", "1")
    ran = scale.run(data.replace(f"{SHARDS - 1:03}", "002"), tmp_path / "out", *options)
    assert ran.code == 1, ran.stderr
    assert (states(ran, "failed"), states(ran, "done")) == (["001"], ["000", "002"])
    assert "not done after 25 seconds" in ran.stderr
