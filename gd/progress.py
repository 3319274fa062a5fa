"""progress_bar: tqdm's, where it is wanted and there."""

import sys

from .ranges import check_flag


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
