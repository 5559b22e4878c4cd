"""``odyssey new variant NAME`` and ``odyssey new task NAME``: a small installable package whose tests pass at once.

The files are templates of this package, ``plugins/templates/variant`` and ``plugins/templates/task``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import typer

from lstm_odyssey.commands.options import Commands
from lstm_odyssey.plugins.paths import USER_PATH

Kind = Literal["variant", "task"]


class NewError(ValueError):
    """A package cannot be made; the message says subject, got, expected, what to do."""


def make(kind: Kind, name: str, into: Path) -> Path:
    """Write the package and return its folder, ``INTO/odyssey-NAME``.

    The distribution is called ``odyssey-NAME`` and its module ``odyssey_NAME``, so that neither stands in the way of another
    package; the variant or task is called NAME.

    Raises:
        NewError: the name will not do, or the folder exists.
    """
    import jinja2

    check_name(kind, name)
    module = f"odyssey_{name}"
    distribution = module.replace("_", "-")
    folder = into / distribution
    if not into.is_dir():
        raise NewError(f"--into: {into} is no folder; expected one that exists. Create it.")
    if folder.exists() or folder.is_symlink():
        raise NewError(
            f"new {kind}: {folder} exists; expected a new folder. Choose another name or --into, or move it away."
        )
    if importlib.util.find_spec(module) is not None:
        raise NewError(f"new {kind}: a module {module} is installed already; expected a new one. Choose another name.")
    given = {
        "name": name,
        "module": module,
        "distribution": distribution,
        "version": importlib.metadata.version("lstm-odyssey"),
    }
    homes = {
        "module.py": f"{module}.py",
        "test.py": f"tests/test_{name}.py",
        "benchmarks.py": "benchmarks/__init__.py",
        "gitignore": ".gitignore",
        "workflow.yml": ".github/workflows/tests.yml",
    }
    # autoescape is for pages; a name is an identifier, and what is made is Python and TOML
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    try:
        for template in sorted(
            files("lstm_odyssey.plugins").joinpath("templates", kind).iterdir(), key=lambda each: each.name
        ):
            written = template.name.removesuffix(".j2")
            path = folder / homes.get(written, written)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = environment.from_string(template.read_text(encoding="utf-8")).render(given)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NewError(f"new {kind}: {folder} cannot be written ({error}). Choose another --into.") from error
    return folder


def check_name(kind: Kind, name: str) -> None:
    """Raise ``NewError`` unless a variant or task of this name can be made: a Python name that nobody has."""
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.variants import ops

    if not (name.isidentifier() and name.isascii()) or name.startswith("_") or name.endswith("_"):
        raise NewError(
            f"new {kind}: the name is {name!r}; expected letters, digits and _ in between, a letter first, as my_{kind}."
        )
    reserved = {each for each in vars(ops) if not each.startswith("_")} | {"variant", "Variant", "task", "all"}
    if keyword.iskeyword(name) or name in reserved:
        raise NewError(f"new {kind}: '{name}' has a meaning already; expected another name, as my_{name.lower()}.")
    try:
        there = registry.variant(name).name if kind == "variant" else registry.task(name).name
    except registry.UnknownNameError:
        return
    except Exception:  # noqa: BLE001 - a broken plugin has its name all the same
        there = name
    where = registry.origin(kind, there)
    raise NewError(
        f"new {kind}: '{name}' is {'an alias of ' + there if there != name else 'there already'}, from "
        f"{where.get('distribution') or where.get('file') or where.get('module')}; expected a new name."
    )


new = typer.Typer(
    cls=Commands, help="Write a small package with a variant or a task of your own.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="What it will be called in studies; a Python name.", show_default=False)]
Into = Annotated[Path, typer.Option(help="The folder that the package's folder is made in.", **USER_PATH)]


@new.command()
def variant(name: Name, into: Into = Path()) -> None:
    """A package with a cell of your own, INTO/odyssey-NAME: one function, its entry point, its tests and its benchmarks."""
    _told("variant", name, make("variant", name, into))


@new.command()
def task(name: Name, into: Into = Path()) -> None:
    """A package with a task of your own, INTO/odyssey-NAME: a loader, its declaration, its tests and its benchmarks."""
    _told("task", name, make("task", name, into))


def _told(kind: Kind, name: str, folder: Path) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        console.print(f"  {path}")
    console.print(
        f"\nInstall it and see its tests pass:\n"
        f"  cd {folder}\n"
        f'  pip install -e ".[test]" && pytest\n\n'
        f"Then write your own {kind} into odyssey_{name}.py; README.md says what else there is."
    )
