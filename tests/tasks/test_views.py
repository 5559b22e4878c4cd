"""Further scores that a corpus names: what may be named, and what they are."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch

from lstm_odyssey.tasks import objectives, views
from lstm_odyssey.tasks.declare import CorpusError
from tests.corpora import CORPORA

LABELLED = sorted(name for name, make in CORPORA.items() if make().labels)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subsets": {"": (0,)}}, "is called ''; expected a name"),
        ({"subsets": {"a\0": (0,)}}, "expected a name"),
        ({"subsets": {"a": ()}}, "subset 'a' has no sequence; expected indices of test, 0 to 3"),
        ({"subsets": {"a": (0, 4)}}, "subset 'a' has 4; expected indices of test, 0 to 3"),
        ({"subsets": {"a": (-1,)}}, "subset 'a' has -1"),
        ({"subsets": {"a": (0.5,)}}, "subset 'a' has 0.5"),
        ({"subsets": {"a": (1, 1)}}, "subset 'a' has an index twice"),
        ({"foldings": {"a": {"none": "x"}}}, "folding 'a' has 'none', which is no label"),
        (
            {"foldings": {"a": {"class 0": None, "class 1": None, "class 2": None}}},
            "folding 'a' leaves out all of test",
        ),
        ({"subsets": {"a": (0,)}, "foldings": {"a": {}}}, "'a' is a subset and a folding"),
    ],
)
def test_what_cannot_be_named_is_one_clear_error(given, message):
    """Names, indices and labels that are none are refused, with what was expected."""
    with pytest.raises(CorpusError, match=f"corpus: .*{re.escape(message)}"):
        dataclasses.replace(CORPORA["frames"](), **given)


def test_views_are_no_part_of_what_is_trained_on():
    """Subsets, foldings and people leave the fingerprint alone, and so the ids of all trials."""
    corpus = CORPORA["frames"]()
    viewed = dataclasses.replace(
        corpus, subsets={"a": [np.int64(1), 0]}, foldings={"b": {"class 0": None}}, people={"train": 3}
    )
    assert viewed.fingerprint == corpus.fingerprint and viewed.subsets == {"a": (1, 0)}
    assert views.checksum((1, 0)) == views.checksum([0, 1]) != views.checksum([0])
    assert views.checksum({"b": None, "a": "c"}) == views.checksum({"a": "c", "b": None}) != views.checksum({"a": "c"})


@pytest.mark.parametrize("objective", LABELLED)
def test_a_folded_score_is_that_of_folded_answers(objective):
    """Of batches with padding: what each sequence counts and gets wrong is what folding answers and targets by hand gives."""
    kind, corpus = objectives.get(objective), CORPORA[objective]()
    labels = corpus.labels
    folding = {labels[0]: "z", labels[1]: "z", labels[2]: None}
    names, index = views.folded(labels, folding)
    assert names[0] == "z" and index.tolist() == [0, 0, -1]
    pairs = corpus.test
    lengths = torch.tensor([len(features) for features, _ in pairs])
    target = kind.collate([target for _, target in pairs], lengths, int(lengths.max()), torch.float64, "cpu")
    generator = torch.Generator().manual_seed(4)
    shape = (int(lengths.max()), 2, len(pairs), kind.n_outputs(corpus))
    logits = torch.randn(*shape, generator=generator, dtype=torch.float64)
    logits[:, 1] *= torch.linspace(-2, 2, shape[-1])
    above, below = kind.folded_score(logits, target, lengths, torch.from_numpy(index))
    assert above.shape == (2, len(pairs)) and above.dtype == below.dtype == torch.float64
    for b, (features, meant) in enumerate(pairs):
        expected = [int(index[label]) for label in meant]
        for p in range(2):
            one = logits[: len(features), p, b]
            if objective == "ctc":
                path = [k for t, k in enumerate(one.argmax(-1).tolist()) if t == 0 or k != one[t - 1].argmax()]
                said = [int(index[k - 1]) for k in path if k]
                left = [[k for k in each if k >= 0] for each in (said, expected)]
                assert (above[p, b], below[b]) == (edits(*left), len(left[1]))
                continue
            pooled = one if objective == "frames" else kind.pooled(one[:, None, None], torch.tensor([len(one)]))[0]
            said = [int(index[k]) for k in pooled.argmax(-1).tolist()]
            counted = [k for k, class_ in enumerate(expected) if class_ >= 0]
            assert (above[p, b], below[b]) == (sum(said[k] != expected[k] for k in counted), len(counted))
    logits[0, 0, 0] = torch.nan
    assert (
        kind.folded_score(logits, target, lengths, torch.tensor([0, 0, 0]))[0][0, 0].isnan() or index[target[0][0]] < 0
    )


def edits(one, other):
    """The edit distance, by the recursion that defines it."""
    if not one or not other:
        return len(one) + len(other)
    same = edits(one[:-1], other[:-1]) + (one[-1] != other[-1])
    return min(same, edits(one[:-1], other) + 1, edits(one, other[:-1]) + 1)


def test_a_next_frame_has_no_labels_to_fold():
    """A corpus without labels takes no folding, and its objective says so too."""
    with pytest.raises(CorpusError, match="which is no label"):
        dataclasses.replace(CORPORA["next_frame"](), foldings={"a": {"x": "y"}})
    with pytest.raises(NotImplementedError, match="no labels to fold"):
        objectives.get("next_frame").folded_score(*[torch.zeros(1)] * 4)
