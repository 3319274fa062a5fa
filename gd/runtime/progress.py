"""Progress bars: tqdm's, where they are wanted and it is there."""

import sys
from contextlib import contextmanager

from ..checks import check_flag
from ..kernels import observation


def check_progress(where, progress):
    """Raise unless progress is True, False or None."""
    if progress is not None:
        check_flag(where, "progress", progress)


def progress_bar(where, progress, total, unit):
    """Return a context with `update`, `set_postfix` and `set_postfix_str`.

    `progress` is True, False or None: if a terminal sees it, and tqdm is there.
    """
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        if progress is None:
            return _NoBar()
        raise ImportError(f'{where}: progress=True needs tqdm: python -m pip install "gd[train]"') from None
    return tqdm(total=total, unit=f" {unit}", unit_scale=unit == "samples", leave=False)


@contextmanager
def compiling_bar(where, progress, total=None):
    """Show the kernels that are compiled or loaded meanwhile, by `total` tasks, whose end is told by `update`."""
    with progress_bar(where, progress, total, "names" if total else "kernels") as bar:

        def tell(name):
            bar.set_postfix_str(name)
            bar.update(0 if total else 1)

        with observation.waiting(tell):
            yield bar


class _NoBar:
    """Stands in for a progress bar."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, n):
        pass

    def set_postfix(self, values):
        pass

    def set_postfix_str(self, text):
        pass
