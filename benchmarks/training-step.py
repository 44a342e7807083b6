"""One training step of the emoji model in PyTorch on one thread: prints a JSON line of milliseconds per repeat.

    python benchmarks/training-step.py --repeats 5
"""

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)

WIDTH, LAYERS, HEADS, CONTEXT, VOCAB, BATCH, PATCH, SIZE = 128, 4, 4, 16, 3909, 256, 8, 32


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), QuickGELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x, mask):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH) * WIDTH**-0.5)
        self.positions = nn.Parameter(torch.randn((SIZE // PATCH) ** 2 + 1, WIDTH) * WIDTH**-0.5)
        self.ln_pre, self.ln_post, self.ln_final = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.visual = nn.ModuleList(Block() for _ in range(LAYERS))
        self.text = nn.ModuleList(Block() for _ in range(LAYERS))
        self.proj = nn.Parameter(torch.randn(WIDTH, WIDTH) * WIDTH**-0.5)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, WIDTH) * WIDTH**-0.5)
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.text_positions = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.01)
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


for _ in range(2):
    step()
times = []
for _ in range(arguments.repeats):
    start = time.perf_counter()
    step()
    times.append((time.perf_counter() - start) * 1000)
print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "ms": times}))
