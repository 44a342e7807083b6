"""Exit codes: those of `clipwright` (docs/guide/native.md), and which of them end what."""

DONE = 0
SOME_FAILED = 1
"""Some shards could not be embedded; the others are."""
USAGE = 2
UNWRITABLE = 7
NO_DEVICE = 8
TIMED_OUT = 124
"""As `timeout` has it."""
NO_PROGRAM = 127
"""As shells have it."""
LOST = 137
"""The process of an attempt, or its node, was killed."""

ENDS_THE_RUN = {USAGE, 3, 4, UNWRITABLE, 10, NO_PROGRAM}
"""Usage, config, checkpoint, an output that cannot be written, other settings: each shard would fail alike."""

ENDS_THE_SHARD = {5}
"""A damaged shard is so in each attempt. A missing file is tried again: a network disk may be late."""


class Refused(Exception):
    """Ends the run."""

    def __init__(self, exit_code: int, message: str) -> None:
        """With the exit code of the driver."""
        super().__init__(message)
        self.exit_code = exit_code
