"""Wrong trainers, stores and studies: what the tests of training and of studies have to catch. This is the list.

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

from tests import test_schema, test_store, test_study, test_training, test_training_step


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
