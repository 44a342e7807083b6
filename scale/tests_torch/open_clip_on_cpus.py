"""OpenCLIP's own training, on processors: `torchrun --nproc_per_node 2 open_clip_on_cpus.py -- FLAGS`.

open_clip_train tells DistributedDataParallel the device of each process, which PyTorch refuses for a CPU. Nothing else
is changed.
"""

import sys
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel


class OnCpus(DistributedDataParallel):
    """Without devices."""

    def __init__(self, module: torch.nn.Module, device_ids: object = None, **options: Any) -> None:
        """`device_ids` are those of GPUs."""
        del device_ids
        super().__init__(module, **options)


if __name__ == "__main__":
    torch.nn.parallel.DistributedDataParallel = OnCpus
    from open_clip_train.main import main

    main(sys.argv[1:])
