"""Loads what clipwright exported with transformers, OpenCLIP and PEFT, and compares logits: see scripts/check-export.mjs.

    python benchmarks/fidelity/check-export.py FOLDER
"""

import json
import os
import re
import sys
from pathlib import Path

import open_clip
import torch
import transformers
from PIL import Image

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
texts = expected["texts"]
images = [Image.open(folder / "images" / name).convert("RGB") for name in expected["images"]]


def error(logits, name="logits"):
    return (logits - torch.tensor(expected[name])).abs().max().item()


@torch.no_grad()
def hf_logits(model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "my-clip")
    processor = transformers.AutoImageProcessor.from_pretrained(folder / "my-clip", use_fast=False)
    inputs = tokenizer(texts, padding="max_length", max_length=expected["contextLength"], truncation=True, return_tensors="pt")
    return model(input_ids=inputs.input_ids, **processor(images, return_tensors="pt")).logits_per_image


@torch.no_grad()
def open_clip_logits():
    name = f"local-dir:{folder / 'my-open-clip'}"
    model, transform = open_clip.create_model_from_pretrained(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    pixels = torch.stack([transform(image) for image in images])
    return model.get_logits(pixels, tokenizer(texts))[0]


report = {"transformers": transformers.__version__, "open_clip": open_clip.__version__, "torch": torch.__version__}
report["errors"] = {
    "transformers": error(hf_logits(transformers.CLIPModel.from_pretrained(folder / "my-clip").eval())),
    "open_clip": error(open_clip_logits()),
}
try:
    import peft

    report["peft"] = peft.__version__
    base = transformers.CLIPModel.from_pretrained(folder / "my-clip").eval()
    report["errors"]["peft"] = error(hf_logits(peft.PeftModel.from_pretrained(base, folder / "adapter").eval()), "adapted")
except ImportError:
    report["peft"] = None
if report["peft"]:
    # runs the guide's lines, in a folder with the names that they use
    guide = Path(__file__).parents[2] / "docs" / "guide" / "training.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(), re.S)
    os.chdir(folder)
    names: dict = {}
    exec("\n".join(blocks), names)
    report["guide"] = [type(names[name]).__name__ for name in ("processor", "tokenizer", "model")]
print(json.dumps(report))
