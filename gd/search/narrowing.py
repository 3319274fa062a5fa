"""narrowing_search: rounds of short trainings, each in ranges narrowed around the best before."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf, isfinite
from numbers import Real
from time import perf_counter

import numpy as np

from ..checks import Range, check_functions, check_integer, check_number, check_path
from ..kernels.pool import max_threads
from ..runtime import check_progress, get_threads, progress_bar, threads
from . import journal as journals
from .distributions import RangeOfValues, shown
from .results import SearchResult, Trial

SHARE = Range(0.0, 1.0, False, True)
FORMAT = "gd.search 1"


def narrowing_search(
    objective,
    ranges,
    rounds=3,
    samples=10,
    keep=0.2,
    shrink=0.5,
    seed=0,
    jobs=1,
    journal=None,
    callbacks=(),
    progress=None,
):
    """Search the hyper-parameters that maximize an objective: at random, then in ranges narrowed around the best.

    Each round draws `samples` trials. The ranges of the next one are narrower by the factor `shrink`, around the median
    of the best trials so far, always hold the best one, and never leave the first ranges: they are shifted, not cut. A
    `Choice` keeps the options of the best trials.

    Parameters
    ----------
    objective : callable
        ``objective(parameters, seed)`` trains with a dict of hyper-parameters and returns the score on validation data,
        the higher the better: to minimize a loss, return ``-loss``. The seed, an int of the trial's own, is for what
        is random in it, such as initial weights. A trial has failed if FloatingPointError is raised, as by `gd.fit`
        where training diverges, or if the score is not finite; other errors end the search.
    ranges : dict of str to Uniform, LogUniform or Choice
    rounds, samples : int, default: 3, 10
        Rounds, and trials in each.
    keep : float, default: 0.2
        In (0, 1]: the ranges are narrowed around the best ``keep * samples`` trials, 2 at least. Options that
        are not among these are dropped, tried or not: raise it where there are many.
    shrink : float, default: 0.5
        In (0, 1]: the width of a range in parts of the width in the round before.
    seed : int, default: 0
        What all draws and the trials' seeds follow from. The order in which trials end does not matter.
    jobs : int, default: 1
        Processes, among which the threads are divided; the objective is pickled for them (needs joblib).
    journal : path, optional
        A file of JSON lines to which each trial is written as it ends, an option as its index. Trials in it are not run
        again: a search that was interrupted goes on, one that has ended goes on with more rounds. It must be of the
        same search; that the objective is the same is up to you.
    callbacks : callable or sequence of callable, optional
        Called with the result so far after each round; the search ends when one returns True.
    progress : bool, optional
        Show a progress bar (needs tqdm); by default if standard error is a terminal and tqdm is there.

    Returns
    -------
    SearchResult

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or the journal is damaged or of another search; nothing has changed then.

    Examples
    --------
    >>> import gd, numpy as np
    >>> from gd.search import Choice, LogUniform, narrowing_search
    >>> X = np.random.default_rng(0).standard_normal((300, 2), dtype=np.float32)
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> def accuracy(parameters, seed):
    ...     model = gd.MLP([2, 16, 2], parameters["activation"], seed=seed)
    ...     optimizer = gd.Adam(model.parameters, lr=parameters["lr"])
    ...     gd.fit(model, X[:200], y[:200], optimizer, batch_size=32, progress=False, seed=seed)
    ...     return model.score(X[200:], y[200:])
    >>> ranges = {"lr": LogUniform(1e-5, 1.0), "activation": Choice(["relu", "tanh"])}
    >>> result = narrowing_search(accuracy, ranges, rounds=2, samples=8)
    >>> result.score > 0.9, 1e-3 < result.best["lr"] < 1
    (True, True)
    """
    where = "narrowing_search"
    if not callable(objective):
        raise TypeError(f"{where}: objective must be a function, got {type(objective).__name__}")
    if not isinstance(ranges, Mapping) or not ranges:
        raise TypeError(f"{where}: ranges must be a dict of names and ranges, got {ranges!r}")
    for name, each in ranges.items():
        if not isinstance(name, str):
            raise TypeError(f"{where}: ranges must have names that are strings, got {name!r}")
        if not isinstance(each, RangeOfValues):
            raise TypeError(f"{where}: ranges[{name!r}] must be a Uniform, LogUniform or Choice, got {each!r}")
    rounds, samples = check_integer(where, "rounds", rounds, 1), check_integer(where, "samples", samples, 1)
    keep, shrink = check_number(where, "keep", keep, SHARE), check_number(where, "shrink", shrink, SHARE)
    seed, jobs = check_integer(where, "seed", seed, 0), check_integer(where, "jobs", jobs, 1)
    callbacks = check_functions(where, "callbacks", callbacks)
    check_progress(where, progress)
    journal = None if journal is None else check_path(where, "journal", journal)
    pool, n = _pool(jobs), max(1, get_threads() // jobs)
    settings = {"format": FORMAT, "seed": seed, "samples": samples, "keep": keep, "shrink": shrink}
    settings |= {f"ranges[{name!r}]": shown(ranges[name]) for name in sorted(ranges)}
    records = {} if journal is None else journals.read(journal, settings)
    kept, share, now, result = max(2, round(keep * samples)), 1.0, dict(ranges), SearchResult()
    with progress_bar(where, progress, rounds * samples, "trials") as bar:
        for k in range(rounds):
            result.ranges.append(now)
            trials = [journals.recalled(records, _draw(now, seed, k, number), ranges) for number in range(samples)]
            missing = [trial for trial in trials if trial.score is None]
            bar.update(samples - len(missing))
            calls = [(objective, trial.number, trial.parameters, trial.seed, n) for trial in missing]
            for number, outcome in pool(_outcome, calls):
                trials[number] = replace(trials[number], **outcome)
                if journal is not None:
                    journals.append(journal, journals.record_of(trials[number], ranges))
                bar.update(1)
            result.trials += trials
            bar.set_postfix({"round": f"{k + 1}/{rounds}", "score": f"{result.score:.4f}"})
            if any([callback(result) for callback in callbacks]):
                break
            best = [trial.parameters for trial in result.ranked[:kept]]
            if best:
                share *= shrink
                now = {name: each.narrowed([one[name] for one in best], share) for name, each in ranges.items()}
    return result


def _draw(ranges, seed, k, number):
    """Return a trial, which follows from its place in the search and from the ranges alone."""
    sequence = np.random.SeedSequence(seed, spawn_key=(k, number))
    rng = np.random.default_rng(sequence)
    drawn = {name: ranges[name].sample(rng) for name in sorted(ranges)}  # whatever the order of the dict
    return Trial(k, number, {name: drawn[name] for name in ranges}, int(sequence.generate_state(1)[0]))


def _pool(jobs):
    """Return a function (function, calls) that yields what the calls return, in several processes as they end."""
    if jobs == 1:
        return lambda function, calls: (function(*call) for call in calls)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError(f'narrowing_search: jobs={jobs} needs joblib: python -m pip install "gd[train]"') from None
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    return lambda function, calls: parallel(delayed(function)(*call) for call in calls)


def _outcome(objective, number, parameters, seed, n):
    """Run a trial with n threads; return its number and what came of it."""
    start, error = perf_counter(), None
    try:
        with threads(min(n, max_threads())):
            score = objective(dict(parameters), seed)
    except FloatingPointError as raised:
        score, error = -inf, str(raised) or "FloatingPointError"
    if isinstance(score, (bool, np.bool_)) or not isinstance(score, Real):
        raise TypeError(f"narrowing_search: objective must return a number, got {score!r}")
    if error is None and not isfinite(score):
        score, error = -inf, f"the score is {float(score)}"
    return number, {"score": float(score), "error": error, "seconds": perf_counter() - start}
