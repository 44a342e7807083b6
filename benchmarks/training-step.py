"""Training steps of a CLIP model in PyTorch: prints a JSON line of milliseconds per repeat.

    python benchmarks/training-step.py --model ViT-B-32 --batch 64 --threads 2 --repeats 5
"""

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--model", choices=["emoji", "ViT-B-32"], default="emoji")
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)

# those of crates/clip-core/examples/training_step.rs: image and text tower as (width, layers, heads)
if arguments.model == "emoji":
    EMBED, IMAGE, TEXT, CONTEXT, VOCAB, PATCH, SIZE = 128, (128, 4, 4), (128, 4, 4), 16, 3909, 8, 32
else:
    EMBED, IMAGE, TEXT, CONTEXT, VOCAB, PATCH, SIZE = 512, (768, 12, 12), (512, 12, 8), 77, 49408, 32, 224
BATCH = arguments.batch


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        gelu = QuickGELU() if arguments.model == "emoji" else nn.GELU()
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), gelu, nn.Linear(4 * width, width))

    def forward(self, x, mask):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        (width, layers, heads), (text_width, text_layers, text_heads) = IMAGE, TEXT
        self.conv1 = nn.Conv2d(3, width, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positions = nn.Parameter(torch.randn((SIZE // PATCH) ** 2 + 1, width) * width**-0.5)
        self.ln_pre, self.ln_post, self.ln_final = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(text_width)
        self.visual = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.text = nn.ModuleList(Block(text_width, text_heads) for _ in range(text_layers))
        self.proj = nn.Parameter(torch.randn(width, EMBED) * width**-0.5)
        self.text_projection = nn.Parameter(torch.randn(text_width, EMBED) * text_width**-0.5)
        self.tokens = nn.Embedding(VOCAB, text_width)
        self.text_positions = nn.Parameter(torch.randn(CONTEXT, text_width) * 0.01)
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))
        self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), float("-inf")).triu_(1))

    def forward(self, pixels, ids):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positions
        x = self.ln_pre(x)
        for block in self.visual:
            x = block(x, None)
        images = F.normalize(self.ln_post(x[:, 0]) @ self.proj, dim=-1)
        y = self.tokens(ids) + self.text_positions
        for block in self.text:
            y = block(y, self.mask)
        y = self.ln_final(y)[torch.arange(len(y)), ids.argmax(-1)]
        texts = F.normalize(y @ self.text_projection, dim=-1)
        logits = self.logit_scale.exp() * images @ texts.T
        labels = torch.arange(len(logits))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


model = Clip()
matrices = [p for p in model.parameters() if p.ndim >= 2]
vectors = [p for p in model.parameters() if p.ndim < 2]
optimizer = torch.optim.AdamW(
    [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}],
    lr=1e-3,
    betas=(0.9, 0.98),
    eps=1e-6,
)
pixels = torch.randn(BATCH, 3, SIZE, SIZE)
ids = torch.randint(0, VOCAB - 1, (BATCH, CONTEXT))
ids[:, -1] = VOCAB - 1


def step():
    optimizer.zero_grad()
    model(pixels, ids).backward()
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, 4.6052)


step()
times = []
for _ in range(arguments.repeats):
    start = time.perf_counter()
    step()
    times.append((time.perf_counter() - start) * 1000)
print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "ms": times}))
