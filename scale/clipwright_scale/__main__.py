"""`python -m clipwright_scale MODEL --data SHARDS --out FOLDER`: `clipwright embed` on the nodes of a Ray cluster."""

import argparse
import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from clipwright_scale.driver import Driver, Plan, Summary, check_cluster
from clipwright_scale.exit import DONE, NO_DEVICE, SOME_FAILED, USAGE, Refused
from clipwright_scale.program import Job
from clipwright_scale.shards import find_shards


def number(kind: type[int] | type[float], or_0: bool = False) -> Any:
    """A number above 0, or 0 as well."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if not (0 < value < float("inf") or (or_0 and value == 0)):
            raise argparse.ArgumentTypeError(f"expected a number {'of 0 or more' if or_0 else 'above 0'}, got {text}")
        return value

    parse.__name__ = "number"
    return parse


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="clipwright_scale",
        description="Embeds shards on the nodes of a Ray cluster. Each node needs clipwright, this package, and the "
        "model, data and output under the same paths. The same command goes on where an earlier one ended.",
        epilog="Flags after -- are those of clipwright embed: -- --device cpu --texts",
    )
    parser.add_argument("model", metavar="MODEL", help="folder or safetensors file of a checkpoint")
    parser.add_argument("--data", action="append", required=True, help="as of clipwright embed: a shard is one file")
    parser.add_argument("--out", required=True, type=Path, help="folder of the embeddings, which all nodes see")
    parser.add_argument("--parquet", action="store_true", help="write Parquet beside the NumPy files")
    parser.add_argument("--address", help="of a running cluster [default: $RAY_ADDRESS, else this machine alone]")
    parser.add_argument(
        "--program", default="clipwright", help="path of clipwright on the nodes [default: on the PATH]"
    )
    parser.add_argument("--cpus-per-shard", type=number(int), default=1, metavar="N", help="threads too [default: 1]")
    parser.add_argument("--gpus-per-shard", type=number(float, or_0=True), default=0, metavar="N", help="[default: 0]")
    parser.add_argument("--shards-per-task", type=number(int), default=1, metavar="N", help="for one load of the model")
    parser.add_argument("--attempts", type=number(int), default=3, metavar="N", help="at a shard [default: 3]")
    parser.add_argument("--timeout", type=number(float), metavar="SECONDS", help="for one shard [default: none]")
    parser.add_argument("--json", action="store_true", help="write events to stdout, each a line of JSON")
    return parser


EVENTS = sys.stdout


def tell(event: dict[str, Any], as_json: bool) -> None:
    """Writes an event: JSON to stdout, sentences to stderr."""
    if as_json:
        print(json.dumps(event), flush=True, file=EVENTS)
    match event:
        case {"type": "shard", "state": "done"}:
            print(f"{event['name']}: {event['embedded']} embedded", file=sys.stderr)
        case {"type": "shard"}:
            print(f"{event['name']}: {event['state']}: {event['message']}", file=sys.stderr)
        case {"type": "scaleDone", "shards": shards}:
            counts = ", ".join(f"{number} {state}" for state, number in shards.items())
            speed = f"{event['embedded']} images, {event['imagesPerSecond']:.0f} a second"
            busy = f"devices were busy {100 * event['busy']:.0f} % of the time"
            print(f"shards: {counts}; {speed}; {event['retries']} retries; {busy}", file=sys.stderr)
        case {"type": "error"}:
            print(f"error: {event['message']}", file=sys.stderr)


def check_address(address: str) -> None:
    """Refuses an address where nothing listens: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise Refused(NO_DEVICE, f"no Ray cluster at {address}: {error}") from error


def connect(address: str | None) -> None:
    """Joins a cluster, or starts one on this machine."""
    # a driver that is watched by nobody sends no statistics
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Refused(NO_DEVICE, f"no Ray cluster at {address}: {error}") from error


OWN_FLAGS = ("--data", "--out", "--json")
"""Flags of clipwright embed that the driver sets, by which it knows what is done."""


def check_flags(flags: Sequence[str]) -> None:
    """Refuses flags after -- that would undo the driver's own."""
    for flag in flags:
        if flag.partition("=")[0] in OWN_FLAGS:
            raise Refused(USAGE, f"{flag}: the driver sets this flag itself: give it before --")


def run(options: argparse.Namespace, flags: Sequence[str]) -> Summary:
    """Runs what the command line says."""
    check_flags(flags)
    shards = find_shards(options.data)
    model = os.path.abspath(options.model) if os.path.exists(options.model) else options.model
    out = options.out.absolute()
    job = Job(options.program, model, out, options.cpus_per_shard, options.timeout, options.parquet, flags)
    plan = Plan(options.cpus_per_shard, options.gpus_per_shard, options.attempts, options.shards_per_task)
    connect(options.address)
    check_cluster(plan)
    return Driver(job, plan, lambda event: tell(event, options.json)).run(shards)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    own, flags = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    options = arguments().parse_args(own)
    try:
        summary = run(options, flags)
    except Refused as error:
        tell({"type": "error", "message": str(error), "exitCode": error.exit_code}, options.json)
        return error.exit_code
    except KeyboardInterrupt:
        message = "stopped; what is done is kept: run the same command to go on"
        tell({"type": "error", "message": message, "exitCode": 130}, options.json)
        return 130
    finally:
        ray.shutdown()
    tell(summary.event(), options.json)
    return SOME_FAILED if summary.failed else DONE


def entry() -> int:
    """Runs the command line of this process."""
    # Ray prints there what its nodes say
    with contextlib.redirect_stdout(sys.stderr):
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(entry())
