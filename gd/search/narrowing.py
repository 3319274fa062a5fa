"""narrowing_search: rounds of short trainings; each round narrows the ranges around the best trials so far."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np

from ..checks import Range, check_functions, check_integer, check_number, check_path
from ..kernels.pool import max_threads
from ..runtime import check_progress, get_threads, progress_bar, threads
from ..typing import FilePath
from ..version import to_install
from . import journal as journals
from .distributions import RangeOfValues, shown
from .results import SearchResult, Trial

SHARE = Range(0.0, 1.0, False, True)
FORMAT = "gd.search 1"
_Callback = Callable[[SearchResult], Any]


def narrowing_search(
    objective: Callable[[dict[str, Any], int], float],
    ranges: Mapping[str, RangeOfValues],
    rounds: int = 3,
    samples: int = 10,
    keep: float = 0.2,
    shrink: float = 0.5,
    seed: int = 0,
    jobs: int = 1,
    journal: FilePath | None = None,
    callbacks: _Callback | Sequence[_Callback] = (),
    progress: bool | None = None,
) -> SearchResult:
    """Search the hyper-parameters that maximize an objective: at random, then in ranges narrowed around the best.

    Each round draws `samples` trials. The next round's ranges are narrower by the factor `shrink`. They lie around the
    median of the best trials so far, hold the best one, and stay inside the first ranges: they are shifted, not cut.
    A `Choice` keeps the options of the best trials.

    Parameters
    ----------
    objective : callable
        ``objective(parameters, seed)`` trains with a dict of hyper-parameters and returns the score on validation data,
        the higher the better: to minimize a loss, return ``-loss``. The seed is an int that differs between trials,
        for random parts such as initial weights. A trial fails if it raises FloatingPointError, as `gd.fit` does
        when training diverges, or if the score is not finite; other errors end the search.
    ranges : dict of str to Uniform, LogUniform or Choice
    rounds, samples : int, default: 3, 10
        Number of rounds, and of trials in each round.
    keep : float, default: 0.2
        In (0, 1]: the ranges are narrowed around the best ``keep * samples`` trials, at least 2. Options that are not
        among these are dropped, even untried ones: raise `keep` if there are many options.
    shrink : float, default: 0.5
        In (0, 1]: the width of a range relative to its width in the round before.
    seed : int, default: 0
        Determines all draws and the trials' seeds, in whatever order the trials end.
    jobs : int, default: 1
        Number of processes, which share the threads; the objective is pickled for them (needs joblib).
    journal : path, optional
        A file of JSON lines to which each trial is written when it ends, an option as its index. Trials in it are not
        run again: an interrupted search goes on, and an ended one goes on with more rounds. It must be a journal of
        this search; the objective is not compared.
    callbacks : callable or sequence of callable, optional
        Called with the result so far after each round; the search ends if one returns True.
    progress : bool, optional
        Show a progress bar (needs tqdm); by default if standard error is a terminal and tqdm is installed.

    Returns
    -------
    SearchResult

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the journal is damaged or of another search; the file is unchanged then.

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
    functions = check_functions(where, "callbacks", callbacks)
    check_progress(where, progress)
    file = None if journal is None else check_path(where, "journal", journal)
    pool, n = _pool(jobs), max(1, get_threads() // jobs)
    settings = {"format": FORMAT, "seed": seed, "samples": samples, "keep": keep, "shrink": shrink}
    settings |= {f"ranges[{name!r}]": shown(ranges[name]) for name in sorted(ranges)}
    records = {} if file is None else journals.read(file, settings)
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
                if file is not None:
                    journals.append(file, journals.record_of(trials[number], ranges))
                bar.update(1)
            result.trials += trials
            bar.set_postfix({"round": f"{k + 1}/{rounds}", "score": f"{result.score:.4f}"})
            if any([function(result) for function in functions]):  # noqa: C419 (all of them are called)
                break
            best = [trial.parameters for trial in result.ranked[:kept]]
            if best:
                share *= shrink
                now = {name: each.narrowed([one[name] for one in best], share) for name, each in ranges.items()}
    return result


def _draw(ranges: Mapping[str, RangeOfValues], seed: int, k: int, number: int) -> Trial:
    """Return trial `number` of round k; it depends on the seed, these numbers and the ranges alone."""
    sequence = np.random.SeedSequence(seed, spawn_key=(k, number))
    rng = np.random.default_rng(sequence)
    drawn = {name: ranges[name].sample(rng) for name in sorted(ranges)}  # the order of the dict must not matter
    return Trial(k, number, {name: drawn[name] for name in ranges}, int(sequence.generate_state(1)[0]))


def _pool(jobs: int) -> Callable[..., Iterable[Any]]:
    """Return a function (function, calls) that runs calls in processes and yields each result as its call ends."""
    if jobs == 1:
        return lambda function, calls: (function(*call) for call in calls)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError(f"narrowing_search: jobs={jobs} needs joblib: {to_install('train')}") from None
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)  # pyright: ignore[reportArgumentType]
    return lambda function, calls: parallel(delayed(function)(*call) for call in calls)


def _outcome(
    objective: Callable[..., Any], number: int, parameters: Mapping[str, Any], seed: int, n: int
) -> tuple[int, dict[str, Any]]:
    """Run a trial with n threads; return its number and its score, error and seconds."""
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
