"""The rules of all optimizers as functions of arrays that the caller owns: nothing is kept between calls.

There is one function for each optimizer, under its name in lower case, but for Prodigy, which looks at all arrays, and
Adafactor, SM3 and Muon, which go by rows and columns. Its options are the optimizer's, with the same defaults, and a
call gives the same bits as the optimizer's step::

    optimizer = gd.Adam(p, lr=0.1)
    optimizer.step(g)

    m, v = gd.functional.initial_state(gd.functional.adam, p)
    gd.functional.adam(p, g, m, v, t=1, lr=0.1)

The functions suit programs that keep parameters and state themselves, or that bring one parameter and its gradient at
a time. `gd.Optimizer.rebind` gives an optimizer other arrays.
"""

from .optimizers import function_of, initial_state, one_by_one

FUNCTIONS = {name.lower(): function_of(kind) for name, kind in one_by_one().items()}
for _function in FUNCTIONS.values():
    _function.__module__ = __name__  # where it is found again, as by pickle
globals().update(FUNCTIONS)

__all__ = ["function_of", "initial_state", *FUNCTIONS]
