"""Pages with less work in them, for tests of all else; ``python -m tests.quick_pages run ...`` is the command with them."""

from contextlib import contextmanager
from functools import partial

import pytest

TREES = 30
"""Of a forest in ``short``; by default it has a hundred."""


@contextmanager
def framed_figures():
    """Figures of a page are drawn, and framed in place of painted: half of a page's time, for tests of what else it says.

    A decorator of one test, or of a module's tests by ``unpainted``. ``tests/reports/page`` and ``tests/reports/plots`` paint
    every kind of figure, of odd studies too.
    """
    from markupsafe import Markup, escape

    from lstm_odyssey.reports.page import section

    def framed(figure, label, prefix):
        return Markup('<svg role="img" aria-label="{}" id="{}"></svg>').format(escape(label), prefix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(section, "_svg", framed)
        yield


@contextmanager
def short():
    """The dear parts of what a page is made of are made with less: where it stands and what is said stays.

    The curve over hours is simulated with a tenth of the searches, whose draws are the last of their stream, so that no other
    number changes; forests are of ``TREES``. Tests of these two, in ``tests/reports/stats`` and ``fanova``, have them whole.
    """
    from lstm_odyssey.reports.page import analyses
    from lstm_odyssey.reports.stats import budget

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "OUTER", budget.OUTER // 10)
        patch.setattr(analyses, "_fanova", partial(analyses._fanova, trees=TREES))
        yield


if __name__ == "__main__":
    from lstm_odyssey.commands import cli

    with short(), framed_figures():
        cli.main()
