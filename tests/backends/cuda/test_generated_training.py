"""Populations trained by generated device text on the emulated device: eager's numbers, torch's, and a member's own bits."""

from itertools import product

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.backends.cuda import training_step
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.scan import emulated
from lstm_odyssey.training import loop
from lstm_odyssey.training.loop import Trial, train
from lstm_odyssey.training.protocol import Protocol
from tests import needed
from tests.corpora import CORPORA
from tests.training.plain_loop import follows_torch

NEEDED = {"hidden_size": 7, "learning_rate": 2e-3, "momentum": 0.8, "input_noise": 0.3}
MEMBERS = (
    {"nesterov": True, "clip_gradient": True},
    {"nesterov": False, "clip_gradient": False, "hidden_size": 5},
    {"nesterov": False, "clip_gradient": True, "hidden_size": 9},
    {"initial_std": 0.02, "hidden_size": 33},
)
"""Both forms of momentum, clipped or not, of two size classes."""


def trained(backend, objective="next_frame", cell="vanilla", members=range(4), batch=1, epochs=1, **options):
    """A population of some of ``MEMBERS``."""
    trials = [Trial(2 + k, {**NEEDED, **MEMBERS[k]}) for k in members]
    protocol = Protocol(epochs=epochs, batch=batch, patience=options.pop("patience", epochs + 1))
    corpus = CORPORA[objective](sizes=options.pop("sizes", (3, 2, 2)))
    return train(
        lo.variant(cell), corpus, objective, trials, protocol, backend=backend, dtype="float64", seed=5, **options
    )


def same(one, other, members=range(4), others=None, bound=0.0):
    """Weights and curves of members of two populations, exactly unless there is a bound.

    ``others``: the places in the other population; by default the same.
    """
    for at, there in zip(members, members if others is None else others, strict=True):
        found = one.member_weights(at)
        for name, value in other.member_weights(there).items():
            assert np.abs(found[name] - value).max() <= bound * max(np.abs(value).max(), 1e-3), (at, name)
        for curve in ("train_loss", "valid"):
            pair = [[row[k] for row in getattr(of.curves, curve)] for of, k in ((one, at), (other, there))]
            np.testing.assert_allclose(*pair, rtol=bound, atol=bound, err_msg=f"{at}, {curve}")


SHORT = (
    ("next_frame", "vanilla", False, 1),
    ("frames", "gru", True, 3),
    ("ctc", "slstm", True, 2),
)  # fmt: skip
EVERY = [one for one in product(("next_frame", "frames", "ctc"), ("vanilla", "gru", "fgr", "minlstm"), (False, True), (1, 3))
         if one not in SHORT]  # fmt: skip


def followed(objective, cell, bidirectional, batch, on_cpu):
    """A population is eager's to rounding; a member alone has the bits it has among others where they are promised."""
    given = {"objective": objective, "cell": cell, "bidirectional": bidirectional, "batch": batch}
    found = trained(on_cpu, **given)
    same(found, trained("eager", **given), bound=1e-10)
    if objective != "ctc":
        same(found, trained(on_cpu, members=[1], **given), [1], [0])


@pytest.mark.parametrize(("objective", "cell", "bidirectional", "batch"), SHORT)
def test_a_population_is_eagers_and_a_member_its_own(objective, cell, bidirectional, batch, on_cpu):
    """Both forms of momentum and clipping side by side, noise, batches of sequences of different lengths."""
    followed(objective, cell, bidirectional, batch, on_cpu)


@pytest.mark.long
@pytest.mark.parametrize(("objective", "cell", "bidirectional", "batch"), EVERY)
def test_every_kind_of_population(objective, cell, bidirectional, batch, on_cpu):
    """Objectives, kinds of cells, directions and batches."""
    followed(objective, cell, bidirectional, batch, on_cpu)


def test_a_member_is_plain_torchs(on_cpu):
    """torch.nn.LSTM, its loss and autograd, and the momentum written out: a member of each form of momentum."""
    found = trained(on_cpu, cell="no_peepholes")
    for member in (0, 1):
        follows_torch(found, member, found.protocol, bound=1e-10)


@pytest.mark.parametrize("objective", ["next_frame", "frames"])
def test_members_that_go_on_keep_their_bits_when_others_are_left_out(objective, on_cpu, monkeypatch):
    """Two of four stop after the first epoch: left out, computed on, or never stopped, the others have the same bits."""

    def stop(population):
        population.running[[0, 2]] = False

    def run(**options):
        return trained(on_cpu, objective, epochs=2, batch=2, **options)

    left_out = run(on_update=stop)
    assert left_out.parts[0].step.members.tolist() == [1, 3]
    monkeypatch.setattr(training_step, "COMPACT", 0)
    computed_on = run(on_update=stop)
    assert computed_on.parts[0].step.members.tolist() == [0, 1, 2, 3]
    for other in (computed_on, run()):
        same(left_out, other, [1, 3])


def test_groups_change_no_bit(on_cpu):
    """Four members in groups of three and one, beside all together."""
    same(trained(on_cpu, group=3), trained(on_cpu))


def test_a_checkpoint_of_a_ragged_group_resumes_bit_for_bit(on_cpu, tmp_path, monkeypatch):
    """Groups of three and one: stopped after the first epoch and gone on with, beside never stopped."""
    monkeypatch.setattr(loop, "CHECKPOINT_EPOCHS", 1)
    file = tmp_path / "checkpoint.npz"

    def stop(population):
        if population.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(on_cpu, group=3, epochs=2, checkpoint_file=file, on_epoch=stop)
    resumed = trained(on_cpu, group=3, epochs=2, checkpoint_file=file)
    same(resumed, trained(on_cpu, group=3, epochs=2))


@pytest.mark.parametrize(("before", "now", "members"), [(3, None, range(4)), (None, 3, range(4)), (3, 2, [3, 1])])
def test_a_checkpoint_is_gone_on_with_in_other_groups(before, now, members, on_cpu, tmp_path, monkeypatch):
    """Members that were together where memory was short, or are so now: no epoch is computed again, no bit is another.

    Fewer of them, in another order, find their own rows too; best weights and momentum go with them.
    """
    monkeypatch.setattr(loop, "CHECKPOINT_EPOCHS", 1)
    file, epochs = tmp_path / "checkpoint.npz", []

    def stop(population):
        if population.epoch == 1:
            raise KeyboardInterrupt

    given = {"epochs": 2, "keep_weights": True, "sizes": (2, 1, 1)}
    with pytest.raises(KeyboardInterrupt):
        trained(on_cpu, group=before, checkpoint_file=file, on_epoch=stop, **given)
    resumed = trained(
        on_cpu, group=now, members=members, checkpoint_file=file, on_epoch=lambda own: epochs.append(own.epoch), **given
    )
    whole = trained(on_cpu, **given)
    assert epochs == [2]
    same(resumed, whole, range(len(members)), members)
    for place, member in enumerate(members):
        found, right = resumed.best_member_weights(place), whole.best_member_weights(member)
        assert all(np.array_equal(found[name], right[name]) for name in right)


def looked_at(check, objective, cell, **options):
    """An epoch in which a sanitizer looks at every kernel; the weights are eager's."""
    needed.sanitizers()
    given = {
        "objective": objective,
        "cell": cell,
        "members": [1],
        "batch": 2,
        "bidirectional": True,
        "sizes": (2, 1, 1),
    }
    with emulated(EmulatedDevice("in order", **{check: True})):
        found = trained("emulated", **given)
    same(found, trained("eager", **given), [0], bound=1e-10)


def test_no_kernel_of_a_training_step_has_a_race(on_cpu):
    """Products, noise, loss, sums, updates: no thread reads what another writes without a barrier between."""
    looked_at("races", "next_frame", "tanh_rnn", batch=1, bidirectional=False, sizes=(1, 1, 1))


@pytest.mark.long
@pytest.mark.parametrize("cell", ["vanilla", "gru", "fgr", "minlstm"])
@pytest.mark.parametrize("objective", ["next_frame", "frames"])
@pytest.mark.parametrize("check", ["sanitize", "races"])
def test_the_sanitizers_find_nothing_in_a_training_step(check, objective, cell, on_cpu):
    """Each loss that is ours, each kind of cell."""
    looked_at(check, objective, cell)
