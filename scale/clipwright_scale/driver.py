"""Spreads shards over the nodes of a Ray cluster, until each is embedded or has failed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from clipwright_scale.exit import DONE, ENDS_THE_RUN, ENDS_THE_SHARD, LOST, NO_DEVICE, SOME_FAILED, Refused
from clipwright_scale.parquet import has_parquet
from clipwright_scale.program import Job, Outcome, check_model, embed
from clipwright_scale.shards import Counts, Shard, counts_of

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """How shards are spread."""

    cpus: int
    """Processors of one attempt."""
    gpus: float
    attempts: int
    """Attempts at a shard that fails."""
    shards_per_task: int
    """Shards that one process embeds, which loads the model once for them."""


@dataclass
class Summary:
    """What came of all shards."""

    done: int = 0
    skipped: int = 0
    """Shards that were embedded before."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by name."""
    retries: int = 0
    images: int = 0
    """Images of the shards that were embedded now."""
    images_skipped: int = 0
    """Images that cannot be used."""
    seconds: float = 0.0
    busy: float = 0.0
    """Share of the processes' time in which their devices computed."""

    def event(self) -> dict[str, Any]:
        """The last event, named as those of `clipwright --json`."""
        return {
            "type": "scaleDone",
            "shards": {"done": self.done, "skipped": self.skipped, "failed": len(self.failed)},
            "retries": self.retries,
            "embedded": self.images,
            "skipped": self.images_skipped,
            "seconds": self.seconds,
            "imagesPerSecond": self.images / self.seconds if self.seconds else 0.0,
            "busy": self.busy,
        }


def check_cluster(plan: Plan) -> None:
    """Refuses a plan that no node can ever carry out: Ray would wait for one."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= plan.cpus and node.get("GPU", 0) >= plan.gpus for node in nodes):
        have = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
        wanted = f"--cpus-per-shard {plan.cpus:g} --gpus-per-shard {plan.gpus:g}"
        raise Refused(NO_DEVICE, f"no node of the cluster has what {wanted} asks for: the nodes have {have}")


def attempt(job: Job, shards: Sequence[Shard]) -> Outcome:
    """Embeds shards on the node that Ray chose."""
    outcome = embed(job, shards)
    outcome.node = ray.get_runtime_context().get_node_id()[:8]
    return outcome


class Driver:
    """One run."""

    def __init__(self, job: Job, plan: Plan, report: Report) -> None:
        """`report` is called with each event."""
        self.job = job
        self.plan = plan
        self.report = report
        self.summary = Summary()
        self.attempts: dict[str, int] = {}
        self.running: dict[ray.ObjectRef, list[Shard]] = {}
        self.device_seconds = 0.0
        self.process_seconds = 0.0
        # what is tried again is counted here
        options = {"num_cpus": plan.cpus, "num_gpus": plan.gpus, "max_retries": 0}
        self.task = ray.remote(attempt).options(**options)

    def start(self, shards: list[Shard]) -> None:
        """Gives shards to the next free node."""
        self.running[self.task.remote(self.job, shards)] = shards

    def check_model(self) -> None:
        """Refuses a model that a node cannot read: each shard would fail of it, again and again."""
        check = ray.remote(check_model).options(num_cpus=self.plan.cpus, max_retries=self.plan.attempts)
        try:
            outcome: Outcome = ray.get(check.remote(self.job))
        except RayError as error:
            raise Refused(LOST, f"the model was not checked: {type(error).__name__}") from error
        if outcome.exit_code != DONE:
            raise Refused(outcome.exit_code, outcome.message)

    def pending(self, shards: Sequence[Shard]) -> list[Shard]:
        """Those that are not embedded yet."""
        left = []
        for shard in shards:
            counts = counts_of(self.job.out, shard.name)
            if counts is None or (self.job.parquet and not has_parquet(self.job.out, shard.name, counts)):
                left.append(shard)
        return left

    def finish(self, shard: Shard, counts: Counts, node: str) -> None:
        """Notes that a shard is embedded."""
        self.summary.done += 1
        self.summary.images += counts.embedded
        self.summary.images_skipped += counts.skipped
        self.report({"type": "shard", "name": shard.name, "state": "done", "node": node, **asdict(counts)})

    def fail(self, shard: Shard, outcome: Outcome) -> None:
        """Notes a failed attempt at a shard, and tries again where that may help."""
        tried = self.attempts[shard.name] = self.attempts.get(shard.name, 0) + 1
        again = outcome.exit_code not in ENDS_THE_SHARD and tried < self.plan.attempts
        state = "retried" if again else "failed"
        self.report(
            {
                "type": "shard",
                "name": shard.name,
                "state": state,
                "node": outcome.node,
                "attempt": tried,
                "exitCode": outcome.exit_code,
                "message": outcome.message,
            }
        )
        if again:
            self.summary.retries += 1
            self.start([shard])
        else:
            self.summary.failed[shard.name] = outcome.message

    def take(self, ref: ray.ObjectRef) -> None:
        """Takes what came of an attempt."""
        shards = self.running.pop(ref)
        try:
            outcome: Outcome = ray.get(ref)
        except RayTaskError as error:
            outcome = Outcome(SOME_FAILED, f"a bug in the driver: {error.cause!r}")
        except RayError as error:
            outcome = Outcome(LOST, f"its process or its node was lost: {type(error).__name__}")
        self.process_seconds += outcome.seconds
        self.device_seconds += outcome.busy_seconds
        if outcome.exit_code in ENDS_THE_RUN:
            raise Refused(outcome.exit_code, outcome.message)
        left = []
        for shard in shards:
            if shard.name in outcome.done:
                self.finish(shard, outcome.done[shard.name], outcome.node)
            else:
                left.append(shard)
        if len(shards) == 1:
            for shard in left:
                self.fail(shard, outcome)
        else:
            # alone, each shows whether it is the one that fails
            for shard in left:
                self.start([shard])

    def run(self, shards: Sequence[Shard]) -> Summary:
        """Embeds what is not embedded yet. What is done at any moment stays done.

        Raises `Refused` for what each shard would fail of.
        """
        self.check_model()
        left = self.pending(shards)
        if not left:
            check_settings(self.job, shards[0])
        began = time.monotonic()
        self.summary.skipped = len(shards) - len(left)
        size = self.plan.shards_per_task
        for first in range(0, len(left), size):
            self.start(left[first : first + size])
        while self.running:
            ready, _ = ray.wait(list(self.running), num_returns=1)
            for ref in ready:
                self.take(ref)
        self.summary.seconds = time.monotonic() - began
        if self.process_seconds > 0:
            self.summary.busy = self.device_seconds / self.process_seconds
        return self.summary


def check_settings(job: Job, shard: Shard) -> None:
    """Where all is done, lets the program say whether it was done with these settings."""
    outcome = embed(job, [shard])
    if outcome.exit_code in ENDS_THE_RUN:
        raise Refused(outcome.exit_code, outcome.message)
