"""The version of gd, which pyproject.toml takes from here."""

__version__ = "0.2.0.dev0"
