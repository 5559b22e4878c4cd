"""JSB Chorales, the paper's music corpus: predict the next quarter's notes.

    x_t in {0, 1}^88, one column a key; given x_1..x_t the net says p(x_{t+1}) = Π_k Bernoulli(x_{t+1,k}; σ(l_tk))
    score = mean over frames of -ln p(x_{t+1}), nats a frame

382 chorales of J. S. Bach, 229/76/77, 60.56 frames on average, sampled every quarter and transposed to C; the split is
the one of Allan and Williams (2005).

Source: Boulanger-Lewandowski et al., ICML 2012 (arXiv 1206.6392); one Python 2 pickle, downloaded once, checked by its
sha256 before it is unpickled, by an Unpickler that admits two names. Licence: none is stated; the music is in the
public domain. The file is therefore not carried by the package.

Departure from the paper: none known. Chance level 11.0904 nats a frame (weighted by frames; 11.0359 as the mean over
pieces), fitted on the targets x_2..x_T of the training pieces; fitted on all their frames x_1..x_T it is 11.0907
(11.0360). Both round to the published 11.09 (11.04).
"""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
from os import PathLike
from typing import Any

import numpy as np

from lstm_odyssey.tasks import music
from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, CorpusError, Task
from lstm_odyssey.tasks.files import locate

FILENAME = "JSB Chorales.pickle"
URL = "http://www-etud.iro.umontreal.ca/~boulanni/JSB%20Chorales.pickle"
MIRROR = "https://web.archive.org/web/20141211164413id_/" + URL
CURE = f"The file is not the corpus, and may be hostile: delete it, and get the original from {URL}."
CHECKSUM = "69dc4c3e52800959ac0ab3b82aa3e5f55285ce64f1705acb3e3a8ef77a5c051c"


def _whole_number(code: str, *options: bool) -> np.dtype[Any]:
    """A type of whole numbers: others have any size that the pickle asks for, and a number of that size is made."""
    if code.lstrip("<>=|") not in {np.dtype(kind).str[1:] for kind in np.typecodes["AllInteger"]}:
        raise CorpusError(f"task 'jsb_chorales': the pickle has numbers of type {code!r}; expected whole ones. {CURE}")
    return np.dtype(code, *options)


def _bounded(data: bytes) -> None:
    """Refuse a pickle that numbers an object beyond its own length: the unpickler makes a list as long as that number."""
    numbers = (number or 0 for operation, number, _ in pickletools.genops(data) if operation.name.endswith("PUT"))
    for number in numbers:  # of PUT, BINPUT, LONG_BINPUT
        if not 0 <= number <= len(data):
            raise CorpusError(
                f"task 'jsb_chorales': the pickle numbers an object {number}; expected at most {len(data)}, its bytes. {CURE}"
            )


def _admitted() -> dict[tuple[str, str], Any]:
    """The only two globals a pickle may name: a number's type and a number, under numpy's old and new module names."""
    scalar = np.int64(0).__reduce__()[0]
    return {
        ("numpy", "dtype"): _whole_number,
        ("numpy.core.multiarray", "scalar"): scalar,
        ("numpy._core.multiarray", "scalar"): scalar,
    }


class RestrictedUnpickler(pickle.Unpickler):
    """Makes numbers of numpy and Python's own containers, and refuses every other name."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """The admitted object, or `CorpusError`."""
        admitted = _admitted()
        if (module_name, global_name) not in admitted:
            raise CorpusError(
                f"task 'jsb_chorales': the pickle names {module_name}.{global_name}; expected numbers only. {CURE}"
            )
        return admitted[module_name, global_name]


def decode(data: bytes) -> dict[str, Any]:
    """{'train', 'valid', 'test'} -> pieces -> frames -> MIDI numbers, from the bytes of the pickle.

    Check the sha256 first: the restriction is the second wall, not the first. The corpus itself, whose numbers are known to be
    in their bounds, is not looked through for them.

    Errors: `CorpusError` for bytes that are no such pickle.
    """
    try:
        if hashlib.sha256(data).hexdigest() != CHECKSUM:
            _bounded(data)
        splits = RestrictedUnpickler(io.BytesIO(data), encoding="latin1").load()
    except CorpusError:
        raise
    except Exception as error:  # noqa: BLE001 - a malformed pickle may raise anything
        raise CorpusError(
            f"task 'jsb_chorales': the file is no pickle of the corpus ({type(error).__name__}: {error}). "
            f"Get the original from {URL}."
        ) from None
    if not isinstance(splits, dict) or set(splits) != {"train", "valid", "test"}:
        raise CorpusError(
            f"task 'jsb_chorales': the pickle holds a {type(splits).__name__}; expected a dict with the keys train, "
            f"valid and test. Get the original from {URL}."
        )
    return splits


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The corpus, from a file (or the folder that holds ``JSB Chorales.pickle``), ``$ODYSSEY_DATA`` or a download.

    Errors: `CorpusError` if it is not at hand and cannot be had, or if its sha256 is another.
    """
    file = locate.locate("jsb_chorales", path)
    if file is None:
        file = locate.download("jsb_chorales", FILENAME, CHECKSUM, URL, MIRROR)
    elif file.is_dir():
        file = file / FILENAME
    data = locate.read("jsb_chorales", file, CHECKSUM, URL)
    return music.corpus(f"task 'jsb_chorales': {file}", decode(data), f"{file.name}, sha256 {CHECKSUM}, {URL}")


task = Task(
    load,
    objective="next_frame",
    family="music",
    space=PAPER_SPACE,
    url=URL,
    mirror=MIRROR,
    checksum=CHECKSUM,
    file=FILENAME,
    size=2_051_809,
    licence="public-domain music; the file states no licence and is not redistributed here",
    collection="odyssey-2017",
    chance=11.0904,
    reference=(
        'N. Boulanger-Lewandowski, Y. Bengio, P. Vincent, "Modeling Temporal Dependencies in High-Dimensional Sequences: '
        'Application to Polyphonic Music Generation and Transcription", ICML 2012; arXiv 1206.6392'
    ),
)
