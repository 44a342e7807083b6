"""OpenCLIP's own training on the icons: `peer.py MODEL OUT PAIRS FLAGS`, with the flags of open_clip_train.

MODEL is a folder of OpenCLIP's layout, with the weights to begin from; OUT becomes one with the trained weights. Two
things are not OpenCLIP's: a text is one of the lines of its file, drawn at random, as clipwright reads them; and images,
which have the model's size, are not cropped.
"""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip_train.main
import torch
from safetensors.torch import save_file

model, out, pairs, *flags = sys.argv[1:]


def with_lines(get_tokenizer: Callable[..., Callable[..., Any]]) -> Callable[..., Callable[..., Any]]:
    """Tokenizers that take one line of a text."""

    def get(*args: Any, **options: Any) -> Callable[..., Any]:
        tokenizer = get_tokenizer(*args, **options)
        return lambda text: tokenizer(random.choice(text.split("\n")) if isinstance(text, str) else text)

    return get


open_clip_train.main.get_tokenizer = with_lines(open_clip_train.main.get_tokenizer)
data = ["--dataset-type", "webdataset", "--train-num-samples", pairs, "--workers", "0"]
place = ["--device", "cpu", "--precision", "fp32", "--log-every-n-steps", "1"]
whole = ["--aug-cfg", "scale=(1.0, 1.0)", "ratio=(1.0, 1.0)"]
open_clip_train.main.main(["--model", f"local-dir:{model}", *flags, *data, *place, *whole])

logs, name = (Path(flags[flags.index(flag) + 1]) for flag in ("--logs", "--name"))
saved = torch.load(logs / name / "checkpoints/epoch_1.pt", map_location="cpu", weights_only=True)
tensors = {name.removeprefix("module."): tensor.contiguous() for name, tensor in saved["state_dict"].items()}
shutil.copytree(model, out)
save_file(tensors, Path(out) / "open_clip_model.safetensors")
