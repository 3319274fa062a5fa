"""Progress bars by tqdm, an optional package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from ..checks import check_flag
from ..kernels import observation
from ..version import to_install


def check_progress(where: str, progress: bool | None) -> None:
    """Raise unless progress is True, False or None."""
    if progress is not None:
        check_flag(where, "progress", progress)


def progress_bar(where: str, progress: bool | None, total: float | None, unit: str) -> Any:
    """Return a context manager with `update`, `set_postfix` and `set_postfix_str`: tqdm's, or one that does nothing.

    With `progress` None, there is a bar if standard error is a terminal and tqdm is installed.
    """
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        if progress is None:
            return _NoBar()
        raise ImportError(f"{where}: progress=True needs tqdm: {to_install('train')}") from None
    return tqdm(total=total, unit=f" {unit}", unit_scale=unit == "samples", leave=False)


@contextmanager
def compiling_bar(where: str, progress: bool | None, total: int | None = None) -> Iterator[Any]:
    """Show the kernels that are compiled or loaded in the block.

    With `total` tasks, the caller calls `update` at the end of each; else the bar counts kernels.
    """
    with progress_bar(where, progress, total, "names" if total else "kernels") as bar:

        def tell(name):
            bar.set_postfix_str(name)
            bar.update(0 if total else 1)

        with observation.waiting(tell):
            yield bar


class _NoBar:
    """A progress bar that shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, n: float) -> None:
        pass

    def set_postfix(self, values: dict[str, str]) -> None:
        pass

    def set_postfix_str(self, text: str) -> None:
        pass
