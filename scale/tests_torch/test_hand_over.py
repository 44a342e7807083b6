"""A model that was trained natively goes on in OpenCLIP, in two processes, and comes back."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[2]
EMOJI = ROOT / "examples/data/emoji-heldout.tar"
SHAPE = """
[config]
embedDim = 32
vision = { imageSize = 32, patchSize = 8, width = 64, layers = 2, heads = 2 }
text = { contextLength = 16, width = 64, layers = 2, heads = 2 }
"""
FIT = """
[fit]
batchSize = 64
epochs = 8
lr = 0.002
warmup = 5
truncate = true
"""
# both compute in f32, in another order; values of unit vectors
TOLERANCE = 2e-6


def clipwright(*arguments: str) -> list[dict[str, Any]]:
    """Runs the native program, and returns its events."""
    command = [os.environ["CLIPWRIGHT"], "--json", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.split("\n") if line]


def pairs() -> list[tuple[Image.Image, str]]:
    """Pictures and captions of the shard."""
    with tarfile.open(EMOJI) as shard:
        files = [shard.extractfile(member) for member in shard.getmembers()]
        data = [file.read() for file in files if file]
    return [(Image.open(io.BytesIO(image)), text.decode()) for image, text in zip(data[::2], data[1::2], strict=True)]


def embeddings_of_open_clip(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and captions of the shard, as OpenCLIP encodes them."""
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    images, captions = zip(*pairs(), strict=True)
    with torch.inference_mode():
        pixels = torch.stack([preprocess(image) for image in images])
        encoded = (
            model.eval().encode_image(pixels, normalize=True),
            model.encode_text(tokenizer(captions), normalize=True),
        )
    return encoded[0].numpy(), encoded[1].numpy()


def embeddings_of_clipwright(folder: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same, as clipwright does."""
    flags = ["--texts", "--truncate", "--device", "cpu"]
    clipwright("embed", str(folder), "--data", str(EMOJI), "--out", str(out), *flags)
    return np.load(out / "emoji-heldout-00000.npy"), np.load(out / "emoji-heldout-00000.text.npy")


def expect_equal(folder: Path, out: Path) -> None:
    """Both encode alike."""
    for ours, theirs in zip(embeddings_of_clipwright(folder, out), embeddings_of_open_clip(folder), strict=True):
        difference = np.abs(ours - theirs).max()
        print(f"{folder.name}: {ours.shape}, largest difference {difference:.1e}")
        assert difference < TOLERANCE


def train_in_open_clip(model: Path, logs: Path) -> Path:
    """Takes 64 steps in two processes over gloo; returns the checkpoint."""
    data = ["--train-data", str(EMOJI), "--dataset-type", "webdataset", "--dataset-resampled"]
    steps = ["--train-num-samples", "4096", "--batch-size", "32", "--epochs", "1", "--warmup", "2", "--lr", "1e-3"]
    place = ["--device", "cpu", "--dist-backend", "gloo", "--precision", "fp32", "--workers", "0"]
    loss = ["--local-loss", "--gather-with-grad"]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--"]
    script = str(Path(__file__).with_name("open_clip_on_cpus.py"))
    command = [*start, script, "--model", f"local-dir:{model}", *data, *steps, *place, *loss]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    named = ["--logs", str(logs), "--name", "run"]
    ran = subprocess.run([*command, *named], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "total 2" in ran.stderr, ran.stderr
    return logs / "run/checkpoints/epoch_1.pt"


def bring_back(checkpoint: Path, model: Path, folder: Path) -> None:
    """Puts the weights of OpenCLIP's training beside the config and tokenizer of the model that it began with."""
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    shutil.copytree(model, folder)
    tensors = {name.removeprefix("module."): tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, folder / "open_clip_model.safetensors")


def recall(images: np.ndarray, texts: np.ndarray) -> float:
    """Share of captions whose picture is the nearest."""
    return float(((texts @ images.T).argmax(1) == np.arange(len(texts))).mean())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained here, for OpenCLIP."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "run.toml").write_text(SHAPE + FIT)
    train = ["--config", str(folder / "run.toml"), "--train-data", str(EMOJI), "--device", "cpu"]
    clipwright("train", *train, "--logs", str(folder), "--name", "run")
    clipwright("convert", str(folder / "run/model.safetensors"), str(folder / "exported"), "--layout", "open_clip")
    return folder / "exported"


def test_an_exported_model_is_the_same_in_open_clip(exported: Path, tmp_path: Path) -> None:
    """OpenCLIP reads config, tokenizer and weights from the folder."""
    expect_equal(exported, tmp_path / "out")


def test_it_goes_on_in_open_clip_and_comes_back(exported: Path, tmp_path: Path) -> None:
    """After training there, clipwright describes, converts, evaluates, encodes and trains it."""
    back = tmp_path / "back"
    bring_back(train_in_open_clip(exported, tmp_path / "logs"), exported, back)
    before, after = (load_file(folder / "open_clip_model.safetensors") for folder in (exported, back))
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before if "weight" in name)

    assert clipwright("info", str(back))[0]["type"] == "info"
    expect_equal(back, tmp_path / "out")
    clipwright("convert", str(back), str(tmp_path / "hf"), "--layout", "hf")
    images, texts = embeddings_of_clipwright(tmp_path / "hf", tmp_path / "of-hf")
    assert np.array_equal(np.load(tmp_path / "out/emoji-heldout-00000.npy"), images)
    assert np.array_equal(np.load(tmp_path / "out/emoji-heldout-00000.text.npy"), texts)

    evaluated = clipwright("eval", str(back), "--val-data", str(EMOJI), "--truncate", "--device", "cpu")
    found = next(event for event in evaluated if event["type"] == "evaluation")
    theirs = recall(*embeddings_of_open_clip(back))
    print(f"captions that find their picture: {found['textToImage']['r1']:.4f}, by OpenCLIP's embeddings {theirs:.4f}")
    # a pair or two may be as near as another
    assert abs(found["textToImage"]["r1"] - theirs) <= 2.5 / len(texts)

    (tmp_path / "on.toml").write_text(FIT)
    flags = ["--config", str(tmp_path / "on.toml"), "--logs", str(tmp_path), "--name", "on", "--device", "cpu"]
    more = clipwright("train", "--from", str(back), "--train-data", str(EMOJI), *flags)
    losses = [event["loss"] for event in more if event["type"] == "step"]
    assert losses[-1] < losses[0]
