"""The journal of a search: a file of JSON lines. The first line holds the settings, each other one a trial."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from ..typing import FilePath
from .distributions import RangeOfValues
from .results import Trial


def read(journal: str, settings: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """Return the records of a journal by (round, number); create the file if it does not exist."""
    path, where = Path(journal), f"narrowing_search: journal {journal}"
    if path.is_dir():
        raise ValueError(f"{where} must be a file, it is a folder")
    content = path.read_bytes() if path.exists() else b""
    end = content.rfind(b"\n") + 1  # a crash can cut the last line short
    if not end and not _line(settings).startswith(content):
        raise ValueError(f"{where} must be a journal of this search, got a file that begins with {content[:40]!r}")
    records = {}
    for k, line in enumerate(content[:end].splitlines(), start=1):
        try:
            record = dict(json.loads(line))
            records["search" if k == 1 else (record["round"], record["number"])] = record
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{where}: line {k} must be a trial, or the search if 1, got {line[:40]!r}") from None
    there = records.pop("search", settings)
    for name in {**settings, **there}:
        if there.get(name) != settings.get(name):
            raise ValueError(
                f"{where} is of another search: {name} is {there.get(name)} there and {settings.get(name)} here"
            )
    if end:
        os.truncate(path, end)
    else:
        path.write_bytes(b"")
        append(path, settings)
    return records


def record_of(trial: Trial, ranges: Mapping[str, RangeOfValues]) -> dict[str, Any]:
    """Return the record of a trial in a journal: options as indices, and None as the score of a failed trial."""
    codes = {name: ranges[name].code(value) for name, value in trial.parameters.items()}
    return {**vars(trial), "parameters": codes, "score": trial.score if trial.error is None else None}


def recalled(records: Mapping[Any, Mapping[str, Any]], trial: Trial, ranges: Mapping[str, RangeOfValues]) -> Trial:
    """Return a trial with its outcome from a journal's records; unchanged if there is none."""
    record = records.get((trial.round, trial.number))
    if record is None:
        return trial
    score = -inf if record.get("score") is None else record["score"]
    ended = replace(trial, score=score, error=record.get("error"), seconds=record.get("seconds"))
    if not isinstance(score, float) or record != record_of(ended, ranges):
        raise ValueError(
            f"narrowing_search: journal has a trial {trial.number} of round {trial.round} that this search has not: "
            f"expected {record_of(trial, ranges)}, got {record}"
        )
    return ended


def append(path: FilePath, record: Mapping[str, Any]) -> None:
    """Write a line to disk, so that it survives a crash of the machine."""
    with open(path, "ab") as file:
        file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"
