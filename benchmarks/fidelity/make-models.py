#!/usr/bin/env python3
"""Models of real size with random weights, and what PyTorch makes of real pictures and captions with them.

    pip install torch torchvision "transformers==5.*" "open_clip_torch==3.*" timm safetensors pillow
    python make-models.py FOLDER [NAME ...]

Each model becomes a folder with weights and configs as its publishers lay them out, and `golden.safetensors`:
pixel_values, input_ids, image_embeds, text_embeds (of length one), computed in float32; `golden.json`: file names of the
pictures, the captions, versions. Weights are seeded; matrices are drawn wider than a fresh model's, so that embeddings of
different inputs differ as a trained model's do.
"""
import json
import shutil
import sys
from pathlib import Path

import open_clip
import torch
import transformers
from open_clip.transform import image_transform
from PIL import Image, __version__ as pillow
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

FIXTURES = Path(__file__).resolve().parents[2] / "test" / "fixtures"
PICTURES = ["scene_640x427_jpg", "checker_300x300_png", "exif6_120x80_jpg", "noise_60x45_png"]
CAPTIONS = [
    "a photo of a cat", "two dogs running over a wet meadow in the morning", "🍎 ein roter Apfel, naïve café", "",
]
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def widen(model, seed):
    """Every matrix uniform with a gain that keeps signals alive through the depth; norms and biases not trivial."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.state_dict().items():
        if not p.is_floating_point() or name in ("logit_scale", "logit_bias"):
            continue
        u = torch.rand(p.shape, generator=generator) * 2 - 1
        norm = "norm" in name or "layrnorm" in name or "ln_" in name or ".bn" in name or "downsample.1" in name
        if name.endswith("running_var"):
            value = 1 + 0.3 * u
        elif norm:
            value = (1.0 if name.endswith("weight") else 0.0) + 0.1 * u
        elif name.endswith("bias") or name.endswith("running_mean"):
            value = 0.1 * u
        elif name.endswith("gamma"):
            value = 0.5 + 0.2 * u
        elif "token_embedding" in name or "class_embedding" in name or "probe" in name:
            value = 0.7 * u
        elif "position" in name:
            value = 0.2 * u
        else:
            fan_in = p[0].numel() if p.dim() > 1 else p.numel()
            value = u * (1.7 / fan_in**0.5)
        p.copy_(value)
    return model.eval()


def hf_clip(vision, text, projection):
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=projection)
    return CLIPModel(config)


B32 = dict(vision=dict(patch_size=32), text=dict(eos_token_id=2), projection=512)
L14 = dict(
    vision=dict(patch_size=14, hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16),
    text=dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12, eos_token_id=2),
    projection=768,
)
MODELS = {
    "vit-b-32": lambda: ("hf", hf_clip(**B32)),
    # weights in half precision; the golden values are computed from them in float32
    "vit-b-32-f16": lambda: ("hf", hf_clip(**B32)),
    "vit-l-14": lambda: ("hf", hf_clip(**L14)),
    "vit-b-16": lambda: ("open_clip", "ViT-B-16"),
    "rn50": lambda: ("open_clip", "RN50"),
    "mobileclip2-s0": lambda: ("open_clip", "MobileCLIP2-S0"),
    "siglip-b-16": lambda: ("siglip", SiglipModel(SiglipConfig())),
}


CLIP_TRANSFORM = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "shortest"}
PREPROCESS = {
    "vit-b-16": CLIP_TRANSFORM,
    "rn50": CLIP_TRANSFORM,
    "mobileclip2-s0": {"mean": (0.0,) * 3, "std": (1.0,) * 3, "interpolation": "bilinear", "resize_mode": "shortest"},
}


def pixels(size, layout, folder, preprocess=None):
    """The publishers' own transforms; both of Hugging Face's by Pillow, as its numbers differ from torchvision's."""
    pictures = [Image.open(FIXTURES / "preprocess" / "decoded" / f"{name}.png").convert("RGB") for name in PICTURES]
    if layout == "open_clip":
        transform = image_transform(size, is_train=False, **preprocess)
        return torch.stack([transform(picture) for picture in pictures])
    square = {"height": size, "width": size}
    processor = (
        SiglipImageProcessorPil(size=square) if layout == "siglip"
        else CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=square)
    )
    processor.save_pretrained(folder)
    return torch.stack([torch.as_tensor(processor(p, return_tensors="np")["pixel_values"][0]) for p in pictures])


@torch.no_grad()
def make(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    layout, model = MODELS[name]()
    if layout == "open_clip":
        config = open_clip.get_model_config(model)
        model = widen(open_clip.create_model(model), seed=1)
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        save_file(state, folder / "open_clip_model.safetensors", {"format": "pt"})
        preprocess = PREPROCESS[name]
        text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
        (folder / "open_clip_config.json").write_text(text + "\n")
        size = config["vision_cfg"]["image_size"]
        ids = open_clip.tokenize(CAPTIONS)
        values = pixels(size, layout, folder, preprocess)
        image, text = model.encode_image(values), model.encode_text(ids)
    else:
        model = widen(model, seed=1)
        half = name.endswith("-f16")
        (model.half() if half else model).save_pretrained(folder)
        model = model.float()
        size = model.config.vision_config.image_size
        if layout == "siglip":
            generator = torch.Generator().manual_seed(2)
            ids = torch.randint(2, 32_000, (len(CAPTIONS), 64), generator=generator)
            ids[:, 40:] = 1
        else:
            # ids of the reference tokenizer; only the padding of transformers' own differs, which does not matter
            ids = open_clip.tokenize(CAPTIONS)
        values = pixels(size, layout, folder)
        out = model(pixel_values=values, input_ids=ids)
        image, text = out.image_embeds, out.text_embeds
    normalize = torch.nn.functional.normalize
    golden = {
        "pixel_values": values, "input_ids": ids.int(), "image_embeds": normalize(image), "text_embeds": normalize(text),
    }
    save_file({k: v.contiguous() for k, v in golden.items()}, folder / "golden.safetensors")
    notes = {
        "pictures": PICTURES, "captions": None if layout == "siglip" else CAPTIONS, "layout": layout,
        "torch": torch.__version__, "transformers": transformers.__version__, "open_clip": open_clip.__version__,
        "pillow": pillow, "parameters": sum(p.numel() for p in model.parameters()),
    }
    (folder / "golden.json").write_text(json.dumps(notes, indent=1) + "\n")
    spread = normalize(image) @ normalize(image).T
    print(f"{name}: {notes['parameters'] / 1e6:.0f} M parameters, cosines between pictures {spread.min():.3f} to 1", flush=True)


def main():
    torch.set_num_threads(2)
    root = Path(sys.argv[1])
    for name in sys.argv[2:] or MODELS:
        if (root / name / "golden.json").exists():
            continue
        shutil.rmtree(root / name, ignore_errors=True)
        make(name, root / name)


main()
