"""Who wrote the forms of IAM-OnDB, from what the corpus itself says; both places are optional.

    forms.txt                                      a form and its writer a line, for all forms
    original/a01/a01-000/strokesu.xml              General, Form writerID="10001"; some forms have none there

Source: the corpus's page, "Download the IAM On-Line Handwriting Database". It says that forms.txt maps all forms to writers;
that a line is a form and then its writer is our reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from lstm_odyssey.tasks import extra
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate

LINE = re.compile(r"([a-z]\d\d-\d{3}[a-z]?)[\s,;:]+(\w+)")
FORMS, ORIGINAL = "forms.txt", "original"
MAX_BYTES = 64 * 2**20
"""A file may not be larger than this."""


def files(places: Iterable[Path]) -> list[Path]:
    """The files that may tell a writer, among the places that were found."""
    found = [[place] if place.is_file() else sorted(place.rglob("strokes*.xml")) for place in places]
    return [file for each in found for file in each]


def writers(places: Iterable[Path], forms: Iterable[str]) -> dict[str, str]:
    """The writers of those forms of which one is named.

    Args:
        places: files ``forms.txt`` and folders ``original``, which go before one another in this order.
        forms: the forms that are asked for.

    Errors: `CorpusError` for a file that cannot be read.
    """
    known: dict[str, str] = {}
    folders = []
    for place in places:
        if place.is_file():
            lines = _read(place).decode("latin-1").splitlines()
            known |= {match[1]: match[2] for line in lines if (match := LINE.match(line.strip()))}
        else:
            folders.append(place)
    for form in forms:
        file = Path(form[:3], form[:7], f"strokes{form[7:]}.xml")
        for folder in folders if form not in known else ():
            if (folder / file).is_file() and (writer := _writer(folder / file)):
                known[form] = writer
                break
    return {form: known[form] for form in forms if form in known}


def _read(file: Path) -> bytes:
    return locate.bounded("iam_ondb", file, MAX_BYTES, "it is not the corpus. Get it again.", "Get it again.")


@contextmanager
def xml(file: Path, cure: str) -> Iterator[Any]:
    """defusedxml's parser of a stranger's file. Errors: `CorpusError` for what it refuses or cannot read."""
    extra.package("iam_ondb", "defusedxml")
    refused = import_module("defusedxml.common").DefusedXmlException
    parser = import_module("defusedxml.ElementTree")
    where = f"task 'iam_ondb': {file}"
    try:
        yield parser
    except refused as error:
        raise CorpusError(
            f"{where} declares entities ({type(error).__name__}), which may expand without end; expected plain XML. The file "
            "may be hostile: get the original."
        ) from None
    except (parser.ParseError, ValueError, LookupError) as error:
        raise CorpusError(f"{where} is no XML that can be read ({error}). {cure}") from None


def _writer(file: Path) -> str:
    """What stands as ``writerID`` of the form; empty if nothing does. What follows the first stroke is not parsed."""
    content = BytesIO(_read(file))
    with xml(file, "Get the file again, or take it out.") as parser:
        for _, element in parser.iterparse(content, events=("start",), forbid_dtd=False):
            if element.tag == "Form":
                return str(element.attrib.get("writerID", ""))
            if element.tag == "StrokeSet":
                break
    return ""
