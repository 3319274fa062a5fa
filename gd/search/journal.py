"""The journal of a search: a file of JSON lines, the first of which says of what search, the others a trial each."""

import json
import os
from dataclasses import replace
from math import inf
from pathlib import Path


def read(path, settings):
    """Return the records of a journal by (round, number); begin it if it is not there."""
    path, where = Path(path), f"narrowing_search: journal {path}"
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


def record_of(trial, ranges):
    """Return what a journal holds of a trial: options as indices, and None for the score of none."""
    codes = {name: ranges[name].code(value) for name, value in trial.parameters.items()}
    return {**vars(trial), "parameters": codes, "score": trial.score if trial.error is None else None}


def recalled(records, trial, ranges):
    """Return a trial with its outcome from a journal's records, or as it is."""
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


def append(path, record):
    """Write a line, which then survives a crash of the machine."""
    with open(path, "ab") as file:
        file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def _line(record):
    return json.dumps(record, allow_nan=False).encode() + b"\n"
