"""Rebuilds the embedded glyphs of the tasks ``hershey`` and ``hershey_mini``; a development tool.

    pip install Hershey-Fonts
    python -m lstm_odyssey.tasks.handwriting.build_hershey OUT.json.gz

Of the fonts ``futural`` (print) and ``scripts`` (script) the 81 characters of IAM-OnDB: for each its width and its
strokes, from the glyph's left side on. Nothing else is changed.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lstm_odyssey.tasks.handwriting.hershey import FILE
from lstm_odyssey.tasks.handwriting.ink import CHARACTERS

FONTS = {"print": "futural", "script": "scripts"}


def build() -> dict[str, dict[str, Any]]:
    """Font -> character -> [width, strokes of points [x, y]]."""
    reader = import_module("HersheyFonts").HersheyFonts()
    found: dict[str, dict[str, Any]] = {}
    for kind, font in FONTS.items():
        reader.load_default_font(font)
        glyphs = {character: reader.all_glyphs[character] for character in CHARACTERS}
        found[kind] = {
            character: [
                glyph.char_width,
                [[[x - glyph.left_offset, y] for x, y in stroke] for stroke in glyph.strokes if len(stroke) > 1],
            ]
            for character, glyph in glyphs.items()
        }
    return found


def main(arguments: Sequence[str]) -> int:
    """Write OUT and say whether its text equals the embedded file's."""
    if len(arguments) != 1:
        print("usage: python -m lstm_odyssey.tasks.handwriting.build_hershey OUT.json.gz", file=sys.stderr)
        return 2
    try:
        glyphs = build()
    except ModuleNotFoundError:
        print('build_hershey: Hershey-Fonts is not installed. Run pip install "Hershey-Fonts==2.1.0".', file=sys.stderr)
        return 1
    data = json.dumps(glyphs, separators=(",", ":")).encode()
    Path(arguments[0]).write_bytes(gzip.compress(data, mtime=0))
    same = "equal to" if FILE.is_file() and gzip.decompress(FILE.read_bytes()) == data else "DIFFERENT from"
    print(f"{sum(map(len, glyphs.values()))} glyphs: {same} the embedded file")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
