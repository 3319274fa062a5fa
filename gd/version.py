"""The version of gd, and the name of its distribution; pyproject.toml takes the version from here."""

from importlib import metadata

__version__ = "0.2.0.dev0"
DISTRIBUTION = "gd-kernels"  # as in pyproject.toml; the `gd` of the package index is another project


def to_install(extra: str) -> str:
    """Return the command that installs the packages of an extra, for messages about one that is missing."""
    try:
        metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # an index would give something else of this name, or nothing
        return f'python -m pip install ".[{extra}]" in a checkout of gd'
    return f'python -m pip install "{DISTRIBUTION}[{extra}]"'
