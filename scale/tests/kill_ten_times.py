"""Embeds 10,000 images with `kill -9` ten times, of the driver or of a program, and compares with an undisturbed run.

python scale/tests/kill_ten_times.py PROGRAM [SEED]
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from conftest import EMOJI, ENVIRONMENT, Scale, contents, programs_of, write_shard

SHARDS = 20
SAMPLES = 500
KILLS = 10


def make_shards(folder: Path) -> str:
    """10,000 emoji, each with a key of its own."""
    with tarfile.open(EMOJI) as emoji:
        all_members = emoji.getmembers()
        pairs = list(zip(all_members[::2], all_members[1::2], strict=True))
        images = itertools.cycle(pairs)
        for number in range(SHARDS):
            members = []
            for sample in range(SAMPLES):
                for member in next(images):
                    named = tarfile.TarInfo(f"{number:03}{sample:04}{Path(member.name).suffix}")
                    named.size = member.size
                    members.append((named, member))
            write_shard(folder / f"{number:03}.tar", emoji, members)
    return f"{folder}/{{000..{SHARDS - 1:03}}}.tar"


def start(program: str, data: str, out: Path) -> subprocess.Popen[bytes]:
    """Starts the driver on a Ray cluster of its own."""
    command = Scale(program, "local").command(data, out, "--parquet", "--attempts", "20")
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def embed(program: str, data: str, out: Path, kills: int, seed: int) -> list[str]:
    """Embeds with some kills, and says what was killed."""
    chance = random.Random(seed)
    killed: list[str] = []
    driver = start(program, data, out)
    while len(killed) < kills and driver.poll() is None:
        before = len(list(out.glob("*.npy")))
        # the work of the next seconds is lost, or just done
        while len(list(out.glob("*.npy"))) <= before and driver.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 1))
        programs = programs_of(out, program)
        if chance.random() < 0.3 or not programs:
            driver.kill()
            driver.wait()
            driver = start(program, data, out)
            killed.append("driver")
        else:
            os.kill(chance.choice(programs), signal.SIGKILL)
            killed.append("program")
    if driver.wait() != 0:
        raise SystemExit(f"the driver ended with {driver.returncode}")
    return killed


def main(program: str, seed: int = 1) -> None:
    """Compares both."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        data = make_shards(folder)
        began = time.monotonic()
        embed(program, data, folder / "whole", 0, seed)
        whole = time.monotonic() - began
        killed = embed(program, data, folder / "killed", KILLS, seed)
        disturbed = time.monotonic() - began - whole
        files = contents(folder / "whole")
        same = contents(folder / "killed") == files
        images = sum(file.count(b"\n") for name, file in files.items() if name.endswith(".jsonl"))
    print(f"{images} images, {len(files)} files; {whole:.0f} s undisturbed, {disturbed:.0f} s with kills: {killed}")
    if not same or len(killed) < KILLS:
        raise SystemExit("✗ too few kills" if same else "✗ the files differ")
    print("✓ the files are equal byte by byte")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
