#!/usr/bin/env python3
"""Models with random weights for the encoding benchmark: safetensors for clipwright, ONNX for its peers, the same weights.

    pip install torch "transformers==5.*" onnx onnxruntime
    python make-models.py FOLDER [NAME ...]

Each becomes a folder as Hugging Face publishes it, with `vision.onnx` and `text.onnx` beside it: batch and caption length are
dynamic, embeddings not of length one; and `vision.q8.onnx` and `text.q8.onnx`, quantised as transformers.js's script does it.
NAME-f16 is all in half precision. NAME:gpu adds `vision.nbits.onnx` and `text.nbits.onnx`, whose products are MatMulNBits of 8 bits,
onnxruntime's quickest on a GPU, and leaves out `q8`. A folder that is there already is left as it is.
"""
import json
import sys
import warnings
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

SMALL = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=2)
MODELS = {
    "vit-b-32": lambda: CLIPModel(CLIPConfig(text_config=dict(eos_token_id=49407))),
    "vit-l-14": lambda: CLIPModel(CLIPConfig(
        projection_dim=768,
        vision_config=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14),
        text_config=dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12, eos_token_id=49407),
    )),
    # the small model of many figures: 0.114 GFLOP an image
    "small": lambda: CLIPModel(CLIPConfig(
        vision_config=dict(**SMALL, image_size=64, patch_size=8),
        text_config=dict(**SMALL, eos_token_id=49407),
        projection_dim=128,
    )),
    "siglip-b-16": lambda: SiglipModel(SiglipConfig()),
}


class Tower(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model


class Vision(Tower):
    def forward(self, pixel_values):
        pooled = self.model.vision_model(pixel_values=pixel_values).pooler_output
        return self.model.visual_projection(pooled) if hasattr(self.model, "visual_projection") else pooled


class Text(Tower):
    def forward(self, input_ids):
        pooled = self.model.text_model(input_ids=input_ids).pooler_output
        return self.model.text_projection(pooled) if hasattr(self.model, "text_projection") else pooled


def export(tower, example, name, axes, path):
    torch.onnx.export(
        tower, (example,), path, input_names=[name], output_names=["embeds"],
        dynamic_axes={name: axes, "embeds": {0: "batch"}}, opset_version=18, dynamo=False,
    )


def make(name, folder):
    torch.manual_seed(1)
    base, half, _ = name.partition("-f16")
    device, dtype = ("cuda" if torch.cuda.is_available() else "cpu"), (torch.float16 if half else torch.float32)
    model = MODELS[base]().eval().requires_grad_(False).to(device, dtype)
    model.set_attn_implementation("eager")
    model.save_pretrained(folder)
    vision, text = model.config.vision_config, model.config.text_config
    pixels = torch.randn(2, 3, vision.image_size, vision.image_size, device=device, dtype=dtype)
    ids = torch.randint(1, 1000, (2, text.max_position_embeddings), device=device)
    ids[:, -1] = text.vocab_size - 1
    export(Vision(model), pixels, "pixel_values", {0: "batch"}, folder / "vision.onnx")
    # SigLIP pools the last position of the full length
    axes = {0: "batch", 1: "length"} if name != "siglip-b-16" else {0: "batch"}
    export(Text(model), ids, "input_ids", axes, folder / "text.onnx")


def quantize(folder):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for tower, weights in (("vision", QuantType.QUInt8), ("text", QuantType.QInt8)):
        # onnxruntime-web has no convolution with signed weights
        quantize_dynamic(
            folder / f"{tower}.onnx", folder / f"{tower}.q8.onnx", weight_type=weights,
            extra_options=dict(EnableSubgraph=True, MatMulConstBOnly=True),
        )


def quantize_for_gpu(folder):
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    for tower in ("vision", "text"):
        model = onnx.load(folder / f"{tower}.onnx")
        quantizer = MatMulNBitsQuantizer(model, bits=8, block_size=32, is_symmetric=True, accuracy_level=4)
        quantizer.process()
        quantizer.model.save_model_to_file(str(folder / f"{tower}.nbits.onnx"))


def publish(folder):
    """Adds what transformers.js needs: its file names, and the transform."""
    (folder / "onnx").mkdir(exist_ok=True)
    for tower in ("vision", "text"):
        link = folder / "onnx" / f"{tower}_model.onnx"
        if not link.exists():
            link.hardlink_to(folder / f"{tower}.onnx")
    config = json.loads((folder / "config.json").read_text())
    side = config["vision_config"]["image_size"]
    clip = config["model_type"] == "clip"
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "CLIPImageProcessor" if clip else "SiglipImageProcessor",
        "do_resize": True, "size": {"shortest_edge": side} if clip else {"height": side, "width": side}, "resample": 3,
        "do_center_crop": clip, **({"crop_size": {"height": side, "width": side}} if clip else {}),
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073] if clip else [0.5] * 3,
        "image_std": [0.26862954, 0.26130258, 0.27577711] if clip else [0.5] * 3,
    }))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    root, names = Path(sys.argv[1]), sys.argv[2:] or list(MODELS)
    for name in names:
        name, _, gpu = name.partition(":")
        folder = root / name
        if not (folder / "text.onnx").exists():
            print(f"  {name}", flush=True)
            make(name, folder)
        if gpu and not (folder / "text.nbits.onnx").exists():
            quantize_for_gpu(folder)
        if not gpu and not name.endswith("-f16") and not (folder / "text.q8.onnx").exists():
            quantize(folder)
        publish(folder)
