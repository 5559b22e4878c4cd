"""What a file of a store must look like: types and sizes, checked before anything relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstm_odyssey.reports.contract.variables import CURVE as CURVE_DIMS
from lstm_odyssey.reports.contract.variables import MEASURED, VARIABLES
from lstm_odyssey.reports.contract.variables import TRIAL as TRIAL_DIMS
from lstm_odyssey.study.asked import points, spaces
from lstm_odyssey.study.asked.profiles import PROFILES
from lstm_odyssey.study.asked.search import FROM_FILE, MAX_TRIALS, SEEDS
from lstm_odyssey.tasks.distributions import distribution_from_dict
from lstm_odyssey.training.protocol import Protocol, refuse_unknown

FINISHED = ("ok", "diverged")
"""Statuses of a trial that has ended and is never run again."""

STUDY: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "package": str,
    "token": str,
    "seed": int,
    "draws": str,
    "profile": str,
    "protocol": dict,
    "dtype": str,
    "backend": str,
    "device": str,
    "block_size": int,
    "trials": int,
    "tasks": dict,
    "variants": dict,
    "keep_weights": str,
    "environment": dict,
}
TRIAL: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "trial_id": str,
    "task": str,
    "variant": str,
    "trial": int,
    "seed": int,
    "hyperparameters": dict,
    "status": str,
    "reason": str,
    "curves": dict,
    "environment": dict,
}
NUMBERS = tuple(one.name for one in VARIABLES if one.dims == TRIAL_DIMS and one.kind == "number")
CURVES = tuple(one.name for one in VARIABLES if one.dims == CURVE_DIMS)
"""A number or curve of ``MEASURED`` may be absent: an older version did not measure it."""

TASK = ("checksum", "objective", "bidirectional", "metric", "units", "direction", "chance", "space")


def _check(content: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> None:
    missing = [key for key in types if key not in content]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    for key, expected in types.items():
        value = content[key]
        if not isinstance(value, expected) or isinstance(value, bool):
            raise ValueError(f"{key} is {value!r}")  # noqa: TRY004 - a damaged file, not a caller's mistake


def least_size(study: Mapping[str, Any]) -> int:
    """Bytes that the curves of a study's trials take at least, with all of them in one dataset."""
    epochs: int = 1 + min(study["protocol"]["epochs"], study["protocol"]["patience"])
    trials: int = study["trials"] * len(study["variants"]) * len(study["tasks"])
    return 8 * len(CURVES) * epochs * trials


def check_study(content: Mapping[str, Any]) -> None:
    """Raise ValueError with what is wrong with the content of study.json."""
    _check(content, STUDY)
    for key in ("trials", "block_size"):
        if not 1 <= content[key] <= MAX_TRIALS:
            raise ValueError(f"{key} is {content[key]}")
    if content["seed"] not in SEEDS:
        raise ValueError(f"seed is {content['seed']}")
    if content["profile"] not in PROFILES:
        raise ValueError(f"profile is {content['profile']!r}")
    refuse_unknown(content["protocol"], "A newer version of lstm-odyssey may have written it.")
    Protocol.from_dict(content["protocol"])
    for facts in content["variants"].values():
        _check(facts if isinstance(facts, dict) else {}, {"signature": str, "equations": list})
        for distribution in facts.get("space", {}).values():
            distribution_from_dict(distribution)
    for facts in content["tasks"].values():
        missing = [key for key in TASK if not isinstance(facts, dict) or key not in facts]
        if missing:
            raise ValueError(f"a task lacks {', '.join(missing)}")
        for distribution in facts["space"].values():
            distribution_from_dict(distribution)
    spaces.checked(content.get("space", {}))
    if ("points" in content) is not (content["draws"] == FROM_FILE):
        raise ValueError(f"draws are {content['draws']!r} and points are {'there' if 'points' in content else 'not'}")
    if "points" in content:
        points.check(content["points"])
        there = points.count(content["points"], content["tasks"], content["variants"])
        if content["trials"] > there:
            raise ValueError(f"trials is {content['trials']} and points have {there} rows")


def check_trial(content: Mapping[str, Any]) -> None:
    """Raise ValueError with what is wrong with the content of a trial's file."""
    _check(content, TRIAL)
    number = (int, float, type(None))
    _check(content, {name: number for name in NUMBERS if name in content or name not in MEASURED})
    curves = [name for name in CURVES if name in content["curves"] or name not in MEASURED]
    _check(content["curves"], dict.fromkeys(curves, list))
    for name in curves:
        if not all(isinstance(value, number) and not isinstance(value, bool) for value in content["curves"][name]):
            raise ValueError(f"curve {name} holds something that is no number")
    for name, view in content.get("views", {}).items():
        values = [view["best_test"], *view["test"]]
        if not isinstance(name, str) or not all(isinstance(v, number) and not isinstance(v, bool) for v in values):
            raise ValueError(f"view {name!r} holds something that is no number")
    if content["status"] == "ok" and None in (content["best_valid"], content["best_test"]):
        raise ValueError("status is ok and there is no score")


def comparable(record: dict[str, Any], other: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A stored trial without what is measured in seconds or says where it ran.

    Args:
        other: the one it is compared with: of the views those that both have, as versions of a task differ in them.
    """
    kept = {key: value for key, value in record.items() if key not in MEASURED}
    curves = {key: value for key, value in record["curves"].items() if key not in MEASURED}
    views = {
        name: view for name, view in kept.pop("views", {}).items() if other is None or name in other.get("views", {})
    }
    return {**kept, "curves": curves, **({"views": views} if views else {})}
