"""Writes the emoji pairs as WebDataset shards: examples/data/emoji-{train,heldout}.tar.

    apt-get install fonts-noto-color-emoji && npm install && pip install pillow==13.0.0
    python scripts/make-emoji-shards.py

Pictures: Noto Color Emoji (SIL OFL 1.1). Captions: Unicode CLDR short names, from npm emojibase-data (MIT). Left out:
`component` entries, sequences that the font has no single drawing for, and drawings that are identical pixel for pixel
to an earlier one. Held out: skin-tone variants whose caption's SHA-256, read as a number, is divisible by 5.
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parent.parent
FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
STRIKE = 109  # the size of the font's only bitmaps
BITMAP = (136, 128)
COMPONENT = 2  # emojibase's group of skin tones and hair styles
STORED = 64  # pixels on a side: twice what the example trains on

font = ImageFont.truetype(FONT, STRIKE, layout_engine=ImageFont.Layout.RAQM)


def draw(emoji: str) -> Image.Image | None:
    """The drawing on white; None if the font has no single one."""
    if round(font.getlength(emoji)) != BITMAP[0]:
        return None
    image = Image.new("RGB", BITMAP, "white")
    ImageDraw.Draw(image).text((0, 0), emoji, font=font, embedded_color=True, anchor="lt")
    return image if image.getextrema() != ((255, 255),) * 3 else None


def add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))


entries = json.loads((ROOT / "node_modules/emojibase-data/en/data.json").read_text())
pairs, seen, missing, twins = [], set(), 0, 0
for entry in entries:
    if entry.get("group", COMPONENT) == COMPONENT:  # regional indicators have no group, and are components too
        continue
    for variant, toned in [(entry, False), *((skin, True) for skin in entry.get("skins", []))]:
        image = draw(variant["emoji"])
        if image is None:
            missing += 1
            continue
        digest = hashlib.sha256(image.tobytes()).digest()
        if digest in seen:
            twins += 1
            continue
        seen.add(digest)
        caption = variant["label"]
        number = int.from_bytes(hashlib.sha256(caption.encode()).digest(), "big")
        pairs.append((variant["hexcode"], caption, image, toned and number % 5 == 0))

target = ROOT / "examples/data"
for split, held_out in [("train", False), ("heldout", True)]:
    with tarfile.open(target / f"emoji-{split}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
        chosen = [pair for pair in pairs if pair[3] == held_out]
        for code, caption, image, _ in chosen:
            side = max(BITMAP)
            square = Image.new("RGB", (side, side), "white")
            square.paste(image, ((side - BITMAP[0]) // 2, (side - BITMAP[1]) // 2))
            webp = io.BytesIO()
            square.resize((STORED, STORED), Image.Resampling.BICUBIC).save(webp, "WEBP", quality=90, method=6)
            add(shard, f"{code.lower()}.webp", webp.getvalue())
            add(shard, f"{code.lower()}.txt", caption.encode())
    print(f"{split}: {len(chosen)} pairs, {(target / f'emoji-{split}.tar').stat().st_size / 1e6:.1f} MB")
print(f"{len(pairs)} drawings; left out: {missing} without a drawing, {twins} identical to another")
