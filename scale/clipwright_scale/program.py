"""Runs `clipwright embed` on a node, and says what came of each shard."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipwright_scale.exit import NO_PROGRAM, TIMED_OUT, UNWRITABLE
from clipwright_scale.parquet import write_parquet
from clipwright_scale.shards import Counts, Shard, counts_of


@dataclass(frozen=True)
class Job:
    """What is the same for all shards."""

    program: str
    model: str
    out: Path
    threads: int
    timeout: float | None
    """Seconds that one shard may take."""
    parquet: bool
    flags: Sequence[str]
    """Further flags of `clipwright embed`."""

    def check(self) -> list[str]:
        """The command that reads the model's files, all but the weights."""
        return [self.program, "--json", "info", self.model]

    def command(self, shards: Iterable[Shard]) -> list[str]:
        """The command that embeds shards."""
        data = [flag for shard in shards for flag in ("--data", shard.path)]
        settings = ["--out", str(self.out), "--threads", str(self.threads), *self.flags]
        return [self.program, "--json", "embed", self.model, *data, *settings]


@dataclass
class Outcome:
    """What came of an attempt."""

    exit_code: int
    message: str = ""
    """Why it failed."""
    done: dict[str, Counts] = field(default_factory=dict)
    """Counts of the shards that are embedded."""
    seconds: float = 0.0
    busy_seconds: float = 0.0
    """Time in which the device computed; 0 if the attempt failed."""
    node: str = ""


def events_of(stdout: str) -> Iterator[dict[str, Any]]:
    """The events that a program wrote; a killed one may have left half a line."""
    for line in stdout.split("\n"):
        try:
            yield json.loads(line)
        except ValueError:
            return


def with_its_parent(command: list[str]) -> list[str]:
    """A command that ends when the process ends that runs it, also by `kill -9`, where the system can do so (Linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command


def problem_in(stderr: str) -> str:
    """The line that says what is wrong: usage and signals come without an event."""
    lines = [line for line in stderr.strip().split("\n") if line]
    return next((line for line in lines if line.startswith("error")), lines[-1] if lines else "")


def outcome_of(returncode: int, stdout: str, stderr: str, out: Path) -> Outcome:
    """What the events of a program say."""
    # as shells count those that a signal ended
    outcome = Outcome(128 - returncode if returncode < 0 else returncode)
    if outcome.exit_code != 0:
        outcome.message = problem_in(stderr) or f"clipwright ended with exit code {outcome.exit_code}"
    for event in events_of(stdout):
        match event["type"]:
            case "embedded":
                # written before the event; a shard without it is tried again
                if counts := counts_of(out, event["source"]):
                    outcome.done[event["source"]] = counts
            case "embedDone":
                outcome.busy_seconds = event["busy"] * event["seconds"]
            case "error":
                outcome.message = event["message"]
    return outcome


def add_parquet(out: Path, outcome: Outcome) -> None:
    """Writes Parquet of what is done."""
    try:
        for name, counts in outcome.done.items():
            write_parquet(out, name, counts)
    except OSError as error:
        outcome.exit_code, outcome.message = UNWRITABLE, f"{out}: cannot write Parquet: {error}"
        outcome.done = {}


def no_program(job: Job) -> Outcome | None:
    """What comes of a job whose program is not there."""
    if shutil.which(job.program) is not None:
        return None
    return Outcome(NO_PROGRAM, f"there is no program {job.program}: install clipwright on each node")


def check_model(job: Job) -> Outcome:
    """Checks the model, which all shards need."""
    if missing := no_program(job):
        return missing
    ran = subprocess.run(job.check(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return outcome_of(ran.returncode, ran.stdout, ran.stderr, job.out)


def embed(job: Job, shards: Sequence[Shard]) -> Outcome:
    """Embeds shards, and writes Parquet of those that are done."""
    began = time.monotonic()
    if missing := no_program(job):
        return missing
    timeout = job.timeout and job.timeout * len(shards)
    try:
        ran = subprocess.run(
            with_its_parent(job.command(shards)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        outcome = outcome_of(ran.returncode, ran.stdout, ran.stderr, job.out)
    except subprocess.TimeoutExpired as error:
        stdout = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        outcome = outcome_of(TIMED_OUT, stdout, f"not done after {timeout:g} seconds", job.out)
    if job.parquet:
        add_parquet(job.out, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome
