"""Writes crates/clip-core/src/tokenizer/ftfy_{expressions,tables}.rs from the Python package ftfy (Apache-2.0, Robyn Speer).

    pip install ftfy==6.3.1 && python scripts/make-ftfy-tables.py
"""

import re
import unicodedata
from pathlib import Path

import ftfy
from ftfy import badness, chardata

FOLDER = Path(__file__).parent.parent / "crates/clip-core/src/tokenizer"
ORIGIN = f"//! Made by scripts/make-ftfy-tables.py from ftfy {ftfy.__version__} (Apache-2.0, Robyn Speer); do not edit."


def compact(pattern: str) -> str:
    """A verbose regular expression without its white space and comments."""
    out, in_class, comment, escaped = [], False, False, False
    for char in pattern:
        if comment:
            comment = char != "\n"
        elif escaped:
            out.append(char)
            escaped = False
        elif char == "\\":
            out.append(char)
            escaped = True
        elif in_class:
            out.append(char)
            in_class = char != "]"
        elif char == "#":
            comment = True
        elif not char.isspace():
            out.append(char)
            in_class = char == "["
    return "".join(out)


# Python's classes as the regex crate spells them: its own \\w has combining marks and lacks numbers such as ² and ½, its own \\s
# lacks the separators 1C to 1F
CLASSES = {r"\w": r"[\p{L}\p{N}_]", r"\s": r"[\s\x1c-\x1f]"}
for code in range(0x110000):
    char = chr(code)
    is_word = unicodedata.category(char)[0] in "LN" or char == "_"
    assert bool(re.match(r"\w", char)) == is_word, hex(code)
    is_space = unicodedata.category(char) in ("Zs", "Zl", "Zp") or char in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
    assert bool(re.match(r"\s", char)) == is_space, hex(code)


def with_pythons_classes(pattern: str) -> str:
    # ftfy has no other classes, and none of these within another
    assert not re.search(r"\\[dDwWsSbB]", re.sub(r"\\[ws]", "", pattern)), pattern
    return re.sub(r"\\[ws]", lambda found: CLASSES[found.group()], pattern)


def rust(text: str) -> str:
    def escape(char: str) -> str:
        if char in '"\\':
            return "\\" + char
        return char if " " <= char <= "~" else f"\\u{{{ord(char):x}}}"

    return '"' + "".join(map(escape, text)) + '"'


detector = compact(chardata.UTF8_DETECTOR_RE.pattern)
lookbehind = re.match(r"\(\?<!(\[.*?\])\)", detector)
assert lookbehind, detector
expressions = [
    ORIGIN,
    "",
    "/// Character sequences that are rare except in mojibake (`ftfy.badness.BADNESS_RE`).",
    f"pub(super) const BADNESS: &str = {rust(with_pythons_classes(compact(badness.BADNESS_RE.pattern)))};",
    "",
    "/// UTF-8 that was decoded as a single-byte encoding (`ftfy.chardata.UTF8_DETECTOR_RE`) …",
    f"pub(super) const UTF8_DETECTOR: &str = {rust(with_pythons_classes(detector[lookbehind.end():]))};",
    "",
    "/// … unless one of these characters precedes it (the expression's look-behind).",
    f"pub(super) const UTF8_CONTINUATION_STRICT: &str = {rust(lookbehind.group(1))};",
]
lines = [
    ORIGIN,
    "",
    "/// Encodings to try, in order: name, and the characters of bytes 0x80 to 0xFF.",
    f"pub(super) const CHARMAPS: [(&str, &str); {len(chardata.CHARMAP_ENCODINGS)}] = [",
]
for name in chardata.CHARMAP_ENCODINGS:
    lines.append(f"    ({rust(name)}, {rust(bytes(range(0x80, 0x100)).decode(name))}),")
lines += ["];", "", "/// Latin ligatures and digraphs, and the letters they stand for.", "pub(super) const LIGATURES: &[(char, &str)] = &["]
for code, letters in chardata.LIGATURES.items():
    lines.append(f"    ('\\u{{{code:x}}}', {rust(letters)}),")
lines.append("];")
for name, text in (("ftfy_expressions.rs", expressions), ("ftfy_tables.rs", lines)):
    (FOLDER / name).write_text("\n".join(text) + "\n")
    print(f"wrote {name}")
