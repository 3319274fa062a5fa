"""``gd compare``: rank optimizers by a short training, or on a surface."""

import argparse
from typing import Any

import numpy as np

from .. import comparison, surfaces
from ..optimizers import OPTIMIZERS
from .arguments import (
    Failure,
    HelpFormatter,
    add_data_and_model,
    check_counts,
    describe,
    draw,
    load_data,
    new_model,
    optimizer_names,
    try_plot,
)


def add(commands: Any) -> None:
    """Declare the options."""
    compare = commands.add_parser(
        "compare",
        help="train the same classifier by several optimizers and rank them",
        description="Train the same classifier from the same weights by several optimizers, or let them descend a "
        "function of two numbers, and rank them.",
        formatter_class=HelpFormatter,
    )
    add_data_and_model(compare, epochs=10)
    compare.add_argument(
        "--optimizers",
        metavar="NAMES",
        type=optimizer_names,
        help="optimizers, such as sgd,adam (default: all; on a surface eight of them)",
    )
    compare.add_argument(
        "--lr",
        choices=comparison.RATES,
        default="tuned",
        help="learning rate of each optimizer: its default, or that times the best power of ten, by the loss on a held "
        "out tenth of the rows after a short training",
    )
    compare.add_argument(
        "--surface",
        nargs="?",
        choices=(*surfaces.SURFACES, "all"),
        const="all",
        help="descend this function instead of training; all of them if no name is given",
    )
    compare.add_argument("--steps", type=int, default=200, help="number of steps, with --surface")
    compare.add_argument("--plot", metavar="FILE", help="draw losses, or paths, as .png, .svg or .pdf")
    compare.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Train by each optimizer, or descend a surface, and print the ranks."""
    if options.plot:
        try_plot(options.plot)
    if options.surface:
        _descend(options)
        return
    check_counts(options)
    data = load_data(options, np.float32)
    try:
        model = new_model(options, data)
        describe(data, model)
        how = "the best power of ten times each default, by the loss on a tenth of the rows, held back"
        print(f"rates      {how if options.lr == 'tuned' else 'the defaults'}")
        results = comparison.compare_optimizers(
            model,
            data.X,
            data.y,
            (data.X_test, data.y_test),
            options.optimizers or list(OPTIMIZERS),
            options.lr,
            options.batch_size,
            options.epochs,
            options.seed,
        )
    except (TypeError, ValueError) as error:
        raise Failure(error) from error
    print("", *comparison.table(results), "", sep="\n")
    if options.plot:
        draw(lambda path: comparison.plot(results, path), options.plot)


def _descend(options: argparse.Namespace) -> None:
    if options.data:
        raise Failure("--data is to train with, --surface descends a function instead: give one of the two")
    if options.steps < 1:
        raise Failure("--steps must be at least 1")
    descents = {}
    print(
        "rates      the lowest by which a path in the picture comes nine tenths as far down as by the best, in decades"
    )
    for name in surfaces.SURFACES if options.surface == "all" else (options.surface,):
        chosen = options.optimizers or surfaces.SHOWN
        descents[name] = [surfaces.descend(name, optimizer, options.steps) for optimizer in chosen]
        print(f"surface    {name}: {surfaces.SURFACES[name].formula}, {options.steps} steps\n")
        print(*surfaces.table(name, descents[name]), "", sep="\n")
    if options.plot:
        draw(lambda path: surfaces.plot(descents, path), options.plot)
