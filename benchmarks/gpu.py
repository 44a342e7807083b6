"""Ours and PyTorch's on one GPU, for `npm run bench:gpu`: by turns, on models of one shape with random weights.

`python gpu.py PROGRAM OUT`: PROGRAM is crates/clip-core/examples/gpu.rs, built; OUT becomes JSON. Each call goes from pixels or ids
that are on the GPU to embeddings that are read back. Needs torch with CUDA, and transformers.
"""

import json
import os
import platform
import subprocess
import sys
import time

import torch
from transformers import CLIPConfig, CLIPModel

ROUNDS = 2
REPEATS, WARM_UP = 10, 3

# shape, batch sizes to encode, pairs of a training step
MODELS = {
    "vit-b-32": (dict(projection=512, patch=32, width=768, layers=12, heads=12, text=512, text_heads=8), [1, 8, 64, 256], 128),
    "vit-l-14": (dict(projection=768, patch=14, width=1024, layers=24, heads=16, text=768, text_heads=12), [1, 8, 64], 32),
}
PRECISIONS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def model_of(projection, patch, width, layers, heads, text, text_heads):
    vision = dict(image_size=224, patch_size=patch, hidden_size=width, intermediate_size=4 * width)
    texts = dict(hidden_size=text, intermediate_size=4 * text, num_hidden_layers=12, num_attention_heads=text_heads)
    return CLIPModel(
        CLIPConfig(
            projection_dim=projection,
            vision_config=dict(vision, num_hidden_layers=layers, num_attention_heads=heads, projection_dim=projection),
            text_config=dict(texts, projection_dim=projection, eos_token_id=49407),
        )
    )


def timed(call):
    milliseconds = []
    for turn in range(WARM_UP + REPEATS):
        began = time.perf_counter()
        call()
        if turn >= WARM_UP:
            milliseconds.append((time.perf_counter() - began) * 1e3)
    return milliseconds


def inputs(batch, dtype):
    pixels = torch.randn(batch, 3, 224, 224, device="cuda", dtype=dtype)
    ids = torch.randint(0, 49000, (batch, 77), device="cuda")
    ids[:, -1] = 49407
    return pixels, ids


def features(output):
    embeddings = getattr(output, "pooler_output", output)
    return torch.nn.functional.normalize(embeddings.float(), dim=-1).cpu()


def encode(name, shape, batches):
    whole = model_of(**shape).cuda().eval()
    # an idle GPU takes a second to raise its clock
    began, (pixels, _) = time.perf_counter(), inputs(8, torch.float32)
    while time.perf_counter() - began < 2:
        with torch.inference_mode():
            features(whole.get_image_features(pixel_values=pixels))
    for precision, dtype in PRECISIONS.items():
        model = whole.to(dtype)
        for batch in batches:
            pixels, ids = inputs(batch, dtype)
            with torch.inference_mode():
                image = timed(lambda: features(model.get_image_features(pixel_values=pixels)))
                caption = timed(lambda: features(model.get_text_features(input_ids=ids)))
            yield dict(model=name, task="image", batch=batch, precision=precision, ms=image)
            yield dict(model=name, task="caption", batch=batch, precision=precision, ms=caption)


def train(name, shape, batch):
    for precision, dtype in PRECISIONS.items():
        model = model_of(**shape).cuda().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
        scaler = torch.amp.GradScaler(enabled=precision == "f16")
        pixels, ids = inputs(batch, torch.float32)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", dtype, enabled=precision != "f32"):
                loss = model(input_ids=ids, pixel_values=pixels, return_loss=True).loss
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss.item()

        yield dict(model=name, task="training step", batch=batch, precision=precision, ms=timed(step))


def theirs(name):
    shape, batches, step = MODELS[name]
    yield from encode(name, shape, batches)
    yield from train(name, shape, step)


def ours(program, name):
    _, batches, step = MODELS[name]
    command = [program, name, ",".join(map(str, batches)), str(step)]
    for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        yield json.loads(line)


def main():
    program, out = sys.argv[1:]
    # no TF32: f32 on both sides
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    machine = dict(cpu=platform.processor(), cores=os.cpu_count())
    notes = dict(machine=machine, gpu=torch.cuda.get_device_name(), driver=driver.stdout.strip(), torch=torch.__version__)
    rows = {}
    for _ in range(ROUNDS):
        for name in MODELS:
            for side, results in [("ours", ours(program, name)), ("theirs", theirs(name))]:
                for row in results:
                    ms = row.pop("ms")
                    key = (side, *row.values())
                    rows.setdefault(key, dict(side=side, **row, ms=[]))["ms"] += ms
                    print(f"  {side:7}{' '.join(map(str, row.values())):40}{sorted(ms)[len(ms) // 2]:9.2f} ms", flush=True)
        # write after each round: the machine may end before the last
        with open(out, "w") as file:
            json.dump(dict(notes, rows=list(rows.values())), file)


main()
