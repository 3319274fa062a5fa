"""Data for `gd train`: files of many layouts, as rows and labels that models take."""

from .features import ArrayFeatures, TableFeatures
from .loading import Data, encoded, load, split_rows
from .reading import Source, kept, read
from .table import DataError, Table, as_table, listed
from .targets import Target, labels_of

__all__ = [
    "ArrayFeatures", "Data", "DataError", "Source", "Table", "TableFeatures", "Target", "as_table", "encoded", "kept",
    "labels_of", "listed", "load", "read", "split_rows",
]  # fmt: skip
