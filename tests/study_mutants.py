"""Wrong trainers, stores, studies and pools: what the tests of training and of studies have to catch. This is the list.

A mutant is the text of a function with a small change, as a slip of the pen would make it, and the test that has to fail.
The change is made in the function itself, wherever it was imported to; a kernel that is compiled already is not reached.
"""

from __future__ import annotations
import __future__

import functools
import importlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

import torch
from distributed.scheduler import KilledWorker

from lstm_odyssey.study.stored.store import StoreError
from tests.backends import test_cores, test_training_step
from tests.layers import test_layer_memory
from tests.reports.contract import test_schema
from tests.study import test_blocks, test_search, test_store
from tests.training import (
    test_costs,
    test_declared_starts,
    test_hyperparameters,
    test_training,
    test_trial_records,
    test_views,
)


@dataclass(frozen=True)
class Mutant:
    """A change of a function's text, and the test that has to see it.

    Args:
        where: ``module:function``, or ``module:Class.method``, of the package.
        before, after: a part of its text that is there once, and what replaces it.
        test: of this suite.
        given: arguments of the test by name, those it is parametrised with; fixtures are found by theirs.
        fails: with what the test has to fail; by default what an assertion raises.
    """

    where: str
    before: str
    after: str
    test: Callable[..., None]
    given: Mapping[str, Any] = field(default_factory=dict)
    fails: tuple[type[BaseException], ...] = (AssertionError,)


def function_at(where: str) -> FunctionType:
    """The plain function at a place, without what decorators put around it."""
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(f"lstm_odyssey.{module}")
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    found = inspect.getattr_static(owner, name)
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, functools.cached_property):
        found = found.func
    elif isinstance(found, (classmethod, staticmethod)):
        found = found.__func__
    plain = inspect.unwrap(found)
    assert isinstance(plain, FunctionType), where
    return plain


def changed(function: FunctionType, before: str = "", after: str = "") -> CodeType:
    """The code of a function whose text has a part replaced; compiled as in its module, its decorators left where they are."""
    text = textwrap.dedent(inspect.getsource(function))
    if before:
        count = text.count(before)
        assert count == 1, f"{function.__qualname__} has {before!r} {count} times; change the mutant with the text"
        text = text.replace(before, after)
    code = compile(text, f"<mutant of {function.__qualname__}>", "exec", flags=__future__.annotations.compiler_flag)
    (made,) = (part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == function.__name__)
    assert made.co_freevars == function.__code__.co_freevars, f"{function.__qualname__} closes over names"
    return made


NESTEROV = {"momentum": "nesterov"}
STEP = {"objective": "next_frame", "bidirectional": False, "batch": 1, **NESTEROV}

TRAINER = {
    "a training loss that is not finite is ignored": Mutant(
        "training.members.population:Population.advance",
        "sound = np.isfinite(valid) & (np.isfinite(loss) | (self.epoch == 0))",
        "sound = np.isfinite(valid)",
        test_trial_records.test_a_training_loss_that_is_not_finite_is_divergence,
        {"value": float("inf"), "backend": "eager"},
    ),
    "a validation score that is not finite is ignored": Mutant(
        "training.members.population:Population.advance",
        "sound = np.isfinite(valid) & (np.isfinite(loss) | (self.epoch == 0))",
        "sound = np.isfinite(loss) | (self.epoch == 0)",
        test_training.test_weights_that_are_nan_make_a_diverged_trial,
        {"objective": "next_frame", "backend": "eager", "dtype": torch.float64},
    ),
    "the score of each sequence is that of the whole": Mutant(
        "training.members.population:Population.score",
        "whole[place], per_sequence[place], further[place] = part.score(batches, views)",
        "whole[place] = per_sequence[place] = part.score(batches, views)[0]",
        test_trial_records.test_scores_are_those_of_the_weights_they_stand_beside,
        {"objective": "next_frame", "backend": "numba"},
    ),
    "a view is of other sequences": Mutant(
        "training.members.views:of_test",
        "{index: place for place, index in enumerate(order)}",
        "{index: index for index in order}",
        test_views.test_views_are_scores_of_the_best_weights,
        {"objective": "frames"},
    ),
    "a view is the last epoch's": Mutant(
        "training.members.population:Population.advance",
        "(self.best_views, further),",
        "",
        test_views.test_views_are_scores_of_the_best_weights,
        {"objective": "next_frame"},
    ),
    "the final score is the least": Mutant(
        "training.members.population:Population.record",
        '_plain(curves["valid"][ran - 1])',
        '_plain(np.nanmin(curves["valid"][:ran]))',
        test_trial_records.test_patience_counts_from_the_best_epoch,
    ),
    "the best score is the last": Mutant(
        "training.members.population:Population.advance",
        "best[improved] = now[improved]",
        "best[self.running] = now[self.running]",
        test_trial_records.test_patience_counts_from_the_best_epoch,
    ),
    "a best score is kept on ties": Mutant(
        "training.members.population:Population.advance",
        "(valid < self.best_valid)",
        "(valid <= self.best_valid)",
        test_trial_records.test_a_score_that_is_only_as_good_is_no_improvement,
    ),
    "the test set is scored every epoch": Mutant(
        "training.members.population:Population.advance",
        "np.where(improved, test, NAN)",
        "np.where(self.running, self.score(self.test, self.running)[0], NAN)",
        test_training.test_the_test_set_is_scored_when_validation_improves_and_only_then,
    ),
    "the curve of the test set is that of validation": Mutant(
        "training.members.population:Population.advance",
        "np.where(improved, test, NAN)",
        "np.where(improved, valid, NAN)",
        test_training.test_the_test_set_is_scored_when_validation_improves_and_only_then,
    ),
    "patience is off by one": Mutant(
        "training.members.population:Population.advance",
        "self.epoch - self.best_epoch < self.protocol.patience",
        "self.epoch - self.best_epoch <= self.protocol.patience",
        test_trial_records.test_patience_counts_from_the_best_epoch,
    ),
    "patience is ignored": Mutant(
        "training.members.population:Population.advance",
        "sound & (self.epoch - self.best_epoch < self.protocol.patience)",
        "sound",
        test_trial_records.test_patience_counts_from_the_best_epoch,
    ),
    "patience counts from the start": Mutant(
        "training.members.population:Population.advance",
        "self.epoch - self.best_epoch < self.protocol.patience",
        "self.epoch < self.protocol.patience",
        test_trial_records.test_epochs_end_at_the_protocols,
    ),
    "one epoch too few": Mutant(
        "training.members.population:Population.advance",
        "if self.epoch >= self.protocol.epochs:",
        "if self.epoch >= self.protocol.epochs - 1:",
        test_trial_records.test_epochs_end_at_the_protocols,
    ),
    "epoch 0 trains": Mutant(
        "training.members.population:Population.advance",
        "self.train_epoch(on_update) if self.epoch else",
        "self.train_epoch(on_update) if self.epoch >= 0 else",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "a member that has stopped is trained on": Mutant(
        "training.members.population:Population.train_epoch",
        "running, costs = self._which(self.running), self.costs",
        "running, costs = self._which(np.ones_like(self.running)), self.costs",
        test_training.test_compiled_a_member_that_has_stopped_is_not_computed,
    ),
    "the loss is the mean over sequences": Mutant(
        "training.members.population:Population.train_epoch",
        "total / sum(len(features) for features, _ in train)",
        "total / len(train)",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "validation and test are exchanged": Mutant(
        "training.members.population:Population.__init__",
        "for split in (corpus.valid, corpus.test)",
        "for split in (corpus.test, corpus.valid)",
        test_trial_records.test_scores_are_those_of_the_weights_they_stand_beside,
        {"objective": "next_frame", "backend": "numba"},
    ),
    "it trains on the validation set": Mutant(
        "training.members.population:Population.train_epoch",
        "train, seed, corpus, batch_size = self.corpus.train,",
        "train, seed, corpus, batch_size = self.corpus.valid,",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "the number of parameters is the first member's": Mutant(
        "training.members.population:Population.record",
        "network.count()[member % self.together]",
        "network.count()[0]",
        test_training.test_a_trial_alone_and_in_a_population_of_eight_give_the_same_curve,
        {"objective": "frames", "bidirectional": False},
    ),
    "epoch 0 is counted as one of training": Mutant(
        "training.members.population:Population.record",
        "epochs = ran - 1",
        "epochs = ran",
        test_trial_records.test_epochs_end_at_the_protocols,
    ),
    "order is not reshuffled": Mutant(
        "training.batches:Batches.epoch",
        'stream("order", seed, corpus, epoch)',
        'stream("order", seed, corpus)',
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "order is without the study's seed": Mutant(
        "training.batches:Batches.epoch",
        'stream("order", seed, corpus, epoch)',
        'stream("order", corpus, epoch)',
        test_trial_records.test_training_follows_the_order_and_the_noise_of_its_epoch,
    ),
    "noise is without the study's seed": Mutant(
        "training.batches:unit_noise",
        '["noise", seed, corpus, epoch]',
        '["noise", corpus, epoch]',
        test_trial_records.test_order_and_noise_follow_seed_corpus_and_epoch,
        {"what": "noise", "other": (2, "music", 1)},
    ),
    "noise is the same in every epoch": Mutant(
        "training.batches:unit_noise",
        '["noise", seed, corpus, epoch]',
        '["noise", seed, corpus]',
        test_trial_records.test_order_and_noise_follow_seed_corpus_and_epoch,
        {"what": "noise", "other": (1, "music", 2)},
    ),
    "noise does not know its sequence": Mutant(
        "training.batches:Batches.epoch",
        "whole[frames[index] : frames[index + 1]]",
        "whole[: frames[index + 1] - frames[index]]",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "a split is scored without its last batch": Mutant(
        "training.batches:Batches.scored",
        "for group in groups(split, frames)]",
        "for group in groups(split, frames)[: max(1, len(groups(split, frames)) - 1)]]",
        test_trial_records.test_a_split_of_many_batches_is_scored_whole,
    ),
    "noise is of one strength for all trials": Mutant(
        "training.members.lockstep:Lockstep.phases",
        "batch.noise.unsqueeze(1) * self.noise",
        "batch.noise.unsqueeze(1) * self.noise.mean().expand_as(self.noise)",
        test_training.test_a_trial_alone_and_in_a_population_of_eight_give_the_same_curve,
        {"objective": "frames", "bidirectional": False},
    ),
    "no noise": Mutant(
        "training.members.lockstep:Lockstep.phases",
        "batch.x.unsqueeze(1) + batch.noise.unsqueeze(1) * self.noise",
        "batch.x.unsqueeze(1).expand(-1, len(self.trials), -1, -1)",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "noise on validation": Mutant(
        "training.members.lockstep:Lockstep.logits",
        "x = batch.x.unsqueeze(1).expand(-1, len(self.trials), -1, -1)",
        "x = batch.x.unsqueeze(1) + torch.randn(batch.x.unsqueeze(1).shape, dtype=batch.x.dtype) * self.noise",
        test_trial_records.test_scores_are_those_of_the_weights_they_stand_beside,
        {"objective": "next_frame", "backend": "eager"},
    ),
    "noise on validation, compiled": Mutant(
        "backends.numba.training_step:TrainingStep.logits",
        "= self._set(batch, None)",
        "= self._set(batch, torch.randn_like(batch.x))",
        test_trial_records.test_scores_are_those_of_the_weights_they_stand_beside,
        {"objective": "next_frame", "backend": "numba"},
    ),
    "look-ahead on validation, compiled": Mutant(
        "backends.numba.training_step:TrainingStep.logits",
        "kept, tables.step[place] = tables.step[place], 0",
        "kept = tables.step[place]",
        test_training_step.test_logits_are_the_networks_without_noise,
        {"bidirectional": False},
    ),
    "a step is not scaled by 1 - momentum": Mutant(
        "training.members.lockstep:Lockstep.phases",
        "(1 - self.momentum) * self.rate",
        "self.rate",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "a step is not scaled by 1 - momentum, compiled": Mutant(
        "backends.numba.training_step:TrainingStep.__init__",
        "(1 - momentum) * rate",
        "rate",
        test_training_step.test_the_step_is_that_of_autograd,
        STEP,
    ),
    "no look-ahead": Mutant(
        "training.members.lockstep:Lockstep.__init__",
        "nesterov(trial.hyperparameters, protocol) for",
        "False for",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "no look-ahead, compiled": Mutant(
        "backends.numba.training_step:TrainingStep.__init__",
        "self.nesterov, self.clips = nesterov, clip is not None",
        "self.nesterov, self.clips = False, clip is not None",
        test_training_step.test_the_step_is_that_of_autograd,
        STEP,
    ),
    "classical momentum looks ahead": Mutant(
        "training.members.lockstep:Lockstep.__init__",
        "nesterov(trial.hyperparameters, protocol) for",
        "True for",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        {"momentum": "classical"},
    ),
    "nothing is clipped": Mutant(
        "training.members.lockstep:Lockstep.__init__",
        "clips(trial.hyperparameters) for",
        "False for",
        test_hyperparameters.test_each_trial_is_trained_as_its_own_hyperparameters_say,
        {"backend": "eager"},
    ),
    "nothing is clipped, compiled": Mutant(
        "backends.numba.training_step:TrainingStep.__init__",
        "nesterov, clip is not None",
        "nesterov, False",
        test_hyperparameters.test_each_trial_is_trained_as_its_own_hyperparameters_say,
        {"backend": "numba"},
    ),
    "a start is ignored": Mutant(
        "training.network:Network.initialise",
        "and parameter in start",
        "and not start and parameter in start",
        test_hyperparameters.test_each_trial_is_trained_as_its_own_hyperparameters_say,
        {"backend": "eager"},
    ),
    "chrono's longest is one too long": Mutant(
        "layers.starts:begun",
        "longest - 2",
        "longest - 1",
        test_declared_starts.test_every_member_begins_as_declared_and_as_if_alone,
    ),
    "what a cell declares goes before a trial's own": Mutant(
        "training.members.population:Population._networks",
        "declared | starts(one)",
        "starts(one) | declared",
        test_declared_starts.test_every_member_begins_as_declared_and_as_if_alone,
    ),
    "constants are trained": Mutant(
        "backends.numba.training_step:TrainingStep._build",
        "network.trained",
        "network.weights.shape[1]",
        test_declared_starts.test_all_backends_train_the_same_and_leave_constants_alone,
        {"name": "damped"},
    ),
    "a trial's constant is the default": Mutant(
        "training.hyperparameters:constants",
        'trial.get(f"{CONSTANT}{name}", one.default)',
        "one.default",
        test_declared_starts.test_all_backends_train_the_same_and_leave_constants_alone,
        {"name": "damped"},
    ),
    "the loss is averaged over a batch": Mutant(
        "training.members.lockstep:Lockstep.phases",
        "self.network.backward(logits, gradient)",
        "self.network.backward(logits, gradient / len(batch.lengths))",
        test_training.test_updates_by_batches_equal_the_sum_of_their_gradients,
    ),
    "velocity is not kept from step to step": Mutant(
        "training.members.lockstep:Lockstep.phases",
        "velocity.mul_(self.momentum)",
        "velocity.mul_(0 * self.momentum)",
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "weights of the last epoch are kept as the best": Mutant(
        "training.members.lockstep:Lockstep.best_member_weights",
        "self.network.weights.copy_(self.best_weights)",
        "pass",
        test_trial_records.test_scores_are_those_of_the_weights_they_stand_beside,
        {"objective": "frames", "backend": "eager"},
    ),
    "best weights of all members are kept when one improves": Mutant(
        "training.members.lockstep:Lockstep.keep",
        "rows = torch.from_numpy(improved).to(self.velocity.device)",
        "rows = torch.ones(len(improved), dtype=torch.bool)",
        test_trial_records.test_scores_are_those_of_the_weights_they_stand_beside,
        {"objective": "frames", "backend": "eager"},
    ),
    "initial weights are without the study's seed": Mutant(
        "training.network:Network.initialise",
        'stream("init", seed, variant, index, name)',
        'stream("init", variant, index, name)',
        test_training.test_initial_weights_depend_on_seed_variant_and_index_alone,
    ),
    "two variants share their initial weights": Mutant(
        "training.network:Network.initialise",
        'stream("init", seed, variant, index, name)',
        'stream("init", seed, index, name)',
        test_training.test_initial_weights_depend_on_seed_variant_and_index_alone,
    ),
    "all trials share their initial weights": Mutant(
        "training.network:Network.initialise",
        'stream("init", seed, variant, index, name)',
        'stream("init", seed, variant, name)',
        test_training.test_initial_weights_depend_on_seed_variant_and_index_alone,
    ),
    "all parameters are drawn from one stream": Mutant(
        "training.network:Network.initialise",
        'stream("init", seed, variant, index, name)',
        'stream("init", seed, variant, index)',
        test_training.test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm,
        NESTEROV,
    ),
    "the initial deviation is ignored": Mutant(
        "training.network:Network.initialise",
        ".standard_normal(tuple(piece.shape)) * own",
        ".standard_normal(tuple(piece.shape))",
        test_training.test_initial_weights_depend_on_seed_variant_and_index_alone,
    ),
    "time is divided by a hundred": Mutant(
        "training.costs:Costs.book",
        "self.lap()",
        "self.lap() / 100",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "time is divided by the members": Mutant(
        "training.costs:Costs._add",
        "self.training[place] += share * passed[0]",
        "self.training[place] += share * passed[0] / len(self.training)",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "the wall's clock is booked": Mutant(
        "training.costs:Costs.lap",
        "(self.clocks.booked(), self.clocks.wall())",
        "(self.clocks.wall(), self.clocks.wall())",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "members that are computed together are booked alike": Mutant(
        "training.costs:shares",
        "np.asarray(counts, float)",
        "np.ones(len(counts))",
        test_costs.test_members_computed_together_are_booked_by_their_share_of_the_work,
    ),
    "order and noise are booked on the first member": Mutant(
        "training.members.population:Population.train_epoch",
        "costs.book_shared(self.running)",
        "pass",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "words of progress are booked on a member": Mutant(
        "training.members.population:Population.train_epoch",
        "costs.lap()  # nobody's",
        "pass",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "scoring is booked as training": Mutant(
        "training.members.population:Population.score",
        "training=False",
        "training=True",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "frames a second are of all epochs, the one before training too": Mutant(
        "training.members.population:Population.record",
        "float(frames / training)",
        "float(frames / epochs * (epochs + 1) / training)",
        test_costs.test_each_member_is_booked_exactly_its_own_work,
    ),
    "training keeps one thread": Mutant(
        "training.threads:one_thread",
        "torch.set_num_threads(before)",
        "pass",
        test_training.test_training_restores_the_number_of_threads,
    ),
}
"""What a training does wrong."""

STORE = {
    "a checkpoint's identity is its format": Mutant(
        "training.members.checkpoint:identity",
        "return digest(",
        "return str(FORMAT) or digest(",
        test_trial_records.test_a_checkpoint_is_for_its_own_population_only,
        {"what": "seed"},
    ),
    **{
        f"a checkpoint's identity lacks {what}": Mutant(
            "training.members.checkpoint:identity",
            text,
            "",
            test_trial_records.test_a_checkpoint_is_for_its_own_population_only,
            {"what": what},
        )
        for what, text in {
            "variant": '"variant": [population.cell.name, population.cell.signature, *population.cell.parameters],',
            "corpus": '"corpus": population.corpus.fingerprint,',
            "protocol": '"protocol": population.protocol.departures(),',
            "seed": '"seed": population.seed,',
            "dtype": '"dtype": str(population.dtype),',
            "backend": '"backend": population.network.rnn.backend,',
            "processor": '"environment": {**environment(), **of_device(population.device)},',
        }.items()
    },
    **{
        f"a checkpoint's identity lacks its {what}": Mutant(
            "training.members.checkpoint:identity",
            text,
            "",
            test_training.test_a_checkpoint_of_another_training_is_set_aside,
            {"change": what},
        )
        for what, text in {
            "objective": '"objective": population.objective.name,',
            "direction": '"bidirectional": population.network.rnn.bidirectional,',
            "name": "population.cell.name, ",
        }.items()
    },
    "a checkpoint does not know its trials": Mutant(
        "training.members.checkpoint:_trials",
        "[trial.index, dict(trial.hyperparameters)]",
        "[trial.index]",
        test_trial_records.test_a_checkpoint_is_for_its_own_population_only,
        {"what": "trials"},
    ),
    "a checkpoint does not know its trials' indices": Mutant(
        "training.members.checkpoint:_trials",
        "[trial.index, dict(trial.hyperparameters)]",
        "[dict(trial.hyperparameters)]",
        test_trial_records.test_a_checkpoint_is_for_its_own_population_only,
        {"what": "index"},
    ),
    "a checkpoint loses the velocity": Mutant(
        "training.members.checkpoint:_tensors",
        '{"weights": part.network.weights, "velocity": part.velocity}',
        '{"weights": part.network.weights}',
        test_training.test_resuming_from_a_checkpoint_is_bitwise_not_having_stopped,
        {"stop": 4},
    ),
    "a checkpoint loses the best weights": Mutant(
        "training.members.checkpoint:_tensors",
        '{**found, "best_weights": part.best_weights}',
        "found",
        test_trial_records.test_a_checkpoint_keeps_the_best_weights,
        {"backend": "eager"},
    ),
    "a checkpoint is of the epoch before": Mutant(
        "training.members.checkpoint:save",
        "np.array(population.epoch)",
        "np.array(population.epoch - 1)",
        test_training.test_resuming_from_a_checkpoint_is_bitwise_not_having_stopped,
        {"stop": 4},
    ),
    "no checkpoint is written": Mutant(
        "training.loop:train",
        "checkpoint_file is not None and due and not population.finished",
        "False",
        test_training.test_a_checkpoint_is_really_used,
    ),
    "a checkpoint is written over": Mutant(
        "training.members.checkpoint:save",
        "with replacing(path) as temporary, open(temporary,",
        "with open(path,",
        test_trial_records.test_a_disk_that_is_full_leaves_files_whole_or_absent,
        {"write": test_trial_records.write_checkpoint},
    ),
    "a trial's file is written over": Mutant(
        "study.stored.store:Store.write_trial",
        "write_new_text(path, text)",
        "path.parent.mkdir(parents=True, exist_ok=True) or path.write_text(text)",
        test_trial_records.test_a_disk_that_is_full_leaves_files_whole_or_absent,
        {"write": test_trial_records.write_trial},
    ),
    "a trial that ended is replaced": Mutant(
        "study.stored.store:Store.write_trial",
        'there is None or there["status"] not in FINISHED',
        "True",
        test_blocks.test_a_trial_that_ended_is_never_replaced,
    ),
    "a failed trial is never replaced": Mutant(
        "study.stored.store:Store.write_trial",
        'there is None or there["status"] not in FINISHED',
        "False",
        test_blocks.test_a_trial_that_ended_is_never_replaced,
    ),
    "study.json is written over": Mutant(
        "study.stored.store:Store.write_study",
        "write_text(self.study_file, ",
        "self.path.mkdir(parents=True, exist_ok=True); self.study_file.write_text(",
        test_trial_records.test_a_disk_that_is_full_leaves_files_whole_or_absent,
        {"write": test_trial_records.write_study},
    ),
    "weights are written over": Mutant(
        "study.stored.store:Store.write_weights",
        "replacing(path) as temporary, open(temporary,",
        "open(path.parent.mkdir(parents=True, exist_ok=True) or path,",
        test_trial_records.test_a_disk_that_is_full_leaves_files_whole_or_absent,
        {"write": test_trial_records.write_weights},
    ),
    "what broke off is left behind": Mutant(
        "reports.contract.files:temporary_beside",
        "temporary.unlink()",
        "pass",
        test_store.test_a_write_that_fails_leaves_the_old_file,
    ),
    "a netCDF is written over": Mutant(
        "reports.contract.netcdf:save",
        "write_bytes(target, content)",
        "target.write_bytes(content)",
        test_schema.test_a_write_that_stops_before_its_end_leaves_the_old_file,
    ),
    "without_times drops a score": Mutant(
        "reports.contract.schema:without_times",
        "for stored in VARIABLES if stored.timed]",
        'for stored in VARIABLES if stored.timed or stored.name == "best_test"]',
        test_schema.test_without_times,
    ),
    "without_times keeps the times": Mutant(
        "reports.contract.schema:without_times",
        "for stored in VARIABLES if stored.timed]",
        'for stored in VARIABLES if stored.timed and stored.name != "seconds"]',
        test_schema.test_without_times,
    ),
    "a trial's id is without its seed": Mutant(
        "study.stored.store:trial_id",
        '"seed": seed,',
        "",
        test_store.test_a_trial_id_changes_with_everything_its_numbers_depend_on,
        {"change": {"seed": 2}},
    ),
    "temporary files of live workers are removed": Mutant(
        "study.stored.locking:clean",
        "now - path.stat().st_mtime > STALE_SECONDS",
        "True",
        test_blocks.test_temporary_files_of_a_live_worker_stay,
    ),
    "a trial under another's name is believed": Mutant(
        "study.stored.store:Store.read_trial",
        'content["trial_id"] != identity',
        "False",
        test_blocks.test_a_trial_of_another_format_is_refused,
    ),
    "a newer file is read": Mutant(
        "study.stored.store:Store._read",
        "written > FORMAT",
        "False",
        test_blocks.test_a_trial_of_another_format_is_refused,
    ),
}
"""What a store or a checkpoint does wrong."""

STUDY = {
    "ghosts are stored": Mutant(
        "study.workers.work:_store",
        """        if index in missing:
            record =""",
        """        if True:
            record =""",
        test_blocks.test_ghosts_are_trained_and_not_stored,
        fails=(AssertionError, StoreError),
    ),
    "ghosts are other draws than the trials that come later": Mutant(
        "study.block:Block.train",
        "Trial(index, self.hyperparameters(index), index not in self.reported)",
        "Trial(index, self.hyperparameters(index if index in self.reported else 0), index not in self.reported)",
        test_blocks.test_ghosts_are_trained_and_not_stored,
    ),
    "a padded block is run without its ghosts": Mutant(
        "study.block:Block.train",
        "self.indices if self.pads else wanted",
        "wanted",
        test_blocks.test_ghosts_are_trained_and_not_stored,
        fails=(AssertionError, IndexError),
    ),
    "a block that does not pad is run with ghosts": Mutant(
        "study.block:Block.train",
        "self.indices if self.pads else wanted",
        "self.indices",
        test_blocks.test_a_backend_that_does_not_pad_has_no_ghosts,
    ),
    "a failed trial counts as finished": Mutant(
        "study.block:Block.finished",
        'trial["status"] in FINISHED',
        'trial["status"] in (*FINISHED, "failed")',
        test_blocks.test_only_failed_trials_are_tried_again,
        {"status": "failed", "again": True},
    ),
    "a diverged trial is tried again": Mutant(
        "study.block:Block.finished",
        'trial["status"] in FINISHED',
        'trial["status"] == "ok"',
        test_blocks.test_only_failed_trials_are_tried_again,
        {"status": "diverged", "again": False},
    ),
    "a finished block is run again": Mutant(
        "study.workers.work:_run_claimed",
        "if not missing:",
        "if False:",
        test_blocks.test_a_block_whose_trials_are_stored_is_not_run_again,
    ),
    "a neighbour that came out otherwise is passed over": Mutant(
        "study.workers.work:_store",
        "comparable(there, record) != comparable(record, there)",
        "False",
        test_blocks.test_a_neighbour_that_came_out_otherwise_is_noticed,
    ),
    "curves are not compared": Mutant(
        "study.workers.work:comparable",
        '{key: value for key, value in record["curves"].items() if key not in MEASURED}',
        "{}",
        test_blocks.test_a_neighbour_that_came_out_otherwise_is_noticed,
    ),
    "times are compared": Mutant(
        "study.workers.work:comparable",
        "for key, value in record.items() if key not in MEASURED",
        "for key, value in record.items()",
        test_blocks.test_a_neighbour_that_came_out_otherwise_is_noticed,
    ),
    "weights are another member's": Mutant(
        "study.workers.work:_store",
        "population.best_member_weights(member)",
        "population.best_member_weights(0)",
        test_blocks.test_best_weights_are_stored_where_they_were_asked_for,
    ),
    "the worker believes its corpus": Mutant(
        "study.block:Block.sources",
        "corpus.fingerprint != expected",
        "False",
        test_blocks.test_a_worker_with_another_corpus_stores_nothing,
    ),
    "the worker believes its variant": Mutant(
        "study.block:Block.sources",
        'cell.signature != facts["signature"]',
        "False",
        test_blocks.test_a_worker_with_another_variant_stores_nothing,
    ),
    "the worker believes its store": Mutant(
        "study.workers.work:run_block",
        'study is None or study["token"] != spec["token"]',
        "study is None",
        test_blocks.test_a_worker_at_another_study_stores_nothing,
    ),
    "a checkpoint outlives its block": Mutant(
        "study.stored.store:Store.end_block",
        '(self.checkpoints_folder / f"{block}.npz", self.progress_folder / f"{block}.json")',
        '(self.progress_folder / f"{block}.json",)',
        test_blocks.test_a_finished_block_leaves_neither_checkpoint_nor_progress,
    ),
    "the KilledWorker branch is gone": Mutant(
        "study.dispatch:Dispatch._settle",
        "type(error).__name__ not in DIED and not isinstance(error, LostResultError)",
        "True",
        test_blocks.test_a_block_that_kills_its_worker_fails_and_the_study_goes_on,
        fails=(AssertionError, KilledWorker),
    ),
    "any error is a killed worker": Mutant(
        "study.dispatch:Dispatch._settle",
        "type(error).__name__ not in DIED and not isinstance(error, LostResultError)",
        "False",
        test_blocks.test_an_error_that_is_no_trials_ends_the_study_and_keeps_what_is_stored,
        {"error": RuntimeError("odd")},
    ),
    "one variant after the other": Mutant(
        "study.run:pending",
        """    for number in range(-(-trials // size)):
        for task in plan.tasks:
            for variant in plan.variants:""",
        """    for variant in plan.variants:
        for task in plan.tasks:
            for number in range(-(-trials // size)):""",
        test_blocks.test_rounds_go_over_all_variants,
    ),
    "a study that was stopped is not consolidated": Mutant(
        "study.run:_consolidate_after",
        "        consolidate(store, say)",
        "        pass",
        test_blocks.test_an_error_that_is_no_trials_ends_the_study_and_keeps_what_is_stored,
        {"error": RuntimeError("odd")},
        (AssertionError, StoreError),
    ),
    "a study that trained something is forgotten": Mutant(
        "study.run:_take_back",
        "if not _trained(store) and store.study() == begun",
        "if store.study() == begun",
        test_blocks.test_a_study_that_trained_something_is_not_forgotten,
        fails=(AssertionError, StoreError),
    ),
    "a study that did not begin is kept": Mutant(
        "study.run:_take_back",
        "if not _trained(store) and store.study() == begun and alone(store, own):",
        "if False:",
        test_blocks.test_a_study_that_trained_something_is_not_forgotten,
    ),
    "a study that another run has joined is taken back": Mutant(
        "study.run:_take_back",
        " and alone(store, own)",
        "",
        test_blocks.test_a_study_that_another_run_has_joined_is_not_taken_back,
    ),
    "a trial that contradicts its id is believed": Mutant(
        "study.results:gather",
        "if trial[key] != value:",
        "if False:",
        test_blocks.test_a_trial_that_contradicts_the_study_is_refused,
    ),
    "a stray trial is passed over": Mutant(
        "study.results:gather",
        "if strays:",
        "if False:",
        test_blocks.test_a_trial_that_contradicts_the_study_is_refused,
    ),
    "a study shrinks": Mutant(
        "study.plan:_refuse_other",
        'settings.trials is not None and settings.trials < stored["trials"]',
        "False",
        test_blocks.test_a_study_only_grows,
    ),
    "two variants share their draws": Mutant(
        "study.asked.search:draw",
        'variant if draws == "independent" else ""',
        '""',
        test_blocks.test_draws_are_those_of_their_trials,
    ),
    "common draws are the variant's own": Mutant(
        "study.asked.search:draw",
        'variant if draws == "independent" else ""',
        "variant",
        test_blocks.test_common_draws_are_common,
    ),
    "all hyperparameters are drawn from one stream": Mutant(
        "study.asked.search:draw",
        'stream("draw", seed, task, who, index, name)',
        'stream("draw", seed, task, who, index)',
        test_search.test_hyperparameters_are_drawn_independently,
    ),
    "draws are without the study's seed": Mutant(
        "study.asked.search:draw",
        'stream("draw", seed, task, who, index, name)',
        'stream("draw", task, who, index, name)',
        test_search.test_every_ingredient_changes_every_hyperparameter,
        {"change": {"seed": 2}},
    ),
    "ids follow from the study's size": Mutant(
        "study.block:Block.trial_id",
        "trial=index,",
        'trial=index + study["trials"],',
        test_store.test_ids_do_not_depend_on_how_many_trials_were_asked,
    ),
    "a store's failure is kept when another has the trial": Mutant(
        "study.resume:Seed.plant",
        'there is None or (there["status"] not in FINISHED and record["status"] in FINISHED)',
        "there is None",
        test_blocks.test_a_finished_trial_takes_the_place_of_a_failed_one_and_of_no_other,
    ),
    "a store's own trials are overwritten": Mutant(
        "study.resume:Seed.plant",
        'there is None or (there["status"] not in FINISHED and record["status"] in FINISHED)',
        "True",
        test_blocks.test_a_finished_trial_takes_the_place_of_a_failed_one_and_of_no_other,
    ),
}
"""What a block or a study does wrong."""

LAYER = {
    "the pool is shared between threads": Mutant(
        "backends.numba.memory:Pool.take",
        "self.idle.remove(block)",
        "self.idle.index(block)",
        test_layer_memory.test_no_two_threads_have_the_same_memory,
    ),
    "rows are summed in the order of the threads": Mutant(
        "backends.numba.parts:parts",
        "most=cuts[k + 1] - cuts[k] - 1",
        "most=0",
        test_cores.test_bits_do_not_depend_on_the_number_of_threads,
        {"case": test_cores.CASES["rows"]},
        fails=(AssertionError, RuntimeWarning),  # what nobody wrote is added up: numbers, or none
    ),
    "a batch is cut inside a block of rows": Mutant(
        "backends.numba.parts:parts",
        "ends = [*(SUMMED_ROWS * cut for cut in cuts[:-1]), rows]",
        "ends = [rows * k // count for k in range(count + 1)]",
        test_cores.test_bits_do_not_depend_on_the_number_of_threads,
        {"case": test_cores.CASES["rows"]},
    ),
    "a helper has its own way with the smallest numbers": Mutant(
        "backends.numba.cores:run",
        "torch.set_flush_denormal(flush)",
        "torch.set_flush_denormal(False)",
        test_cores.test_numbers_below_the_least_normal_one_are_the_callers,
    ),
    "a call that fails does not wait": Mutant(
        "backends.numba.cores:run",
        "_settle(helpers)",
        "pass",
        test_cores.test_a_call_ends_when_nobody_computes_any_more,
    ),
}
"""What the memory and the threads of a layer's calls do wrong."""

MUTANTS = {**TRAINER, **STORE, **STUDY, **LAYER}
