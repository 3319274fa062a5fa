"""one_hot: labels of classes as targets for losses of real outputs."""

import numpy as np

from .arrays import check_dtype, check_labels
from .parameters import LARGEST
from .ranges import REAL, check_real, check_size


def one_hot(labels, classes, low=0.0, high=1.0, dtype=np.float32):
    """Return a matrix with a row for each label: `high` in the column of its class, `low` in the others.

    Parameters
    ----------
    labels : ndarray of int, shape (rows,)
        0 to classes - 1.
    classes : int
    low, high : float, default: 0, 1
        Targets should lie where the output can reach them with room to spare: 0 and 1 for a softmax or sigmoid that
        is trained by cross-entropy, -1 and 1 for scaled_tanh (whose limits are +-1.7159) and the hinge losses.
    dtype : dtype, default: float32
        float32 or float64.

    Returns
    -------
    ndarray of shape (rows, classes)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998, section 4.5.

    Examples
    --------
    >>> import gd, numpy as np
    >>> gd.one_hot(np.array([1, 0]), 2, low=-1.0).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    where, dtype = "one_hot", check_dtype("one_hot", dtype)
    rows = np.shape(labels)[0] if np.ndim(labels) else 1
    classes = check_size(where, "classes", classes, high=LARGEST // max(rows, 1))
    labels = check_labels(where, "labels", labels, rows, classes)
    targets = np.full((rows, classes), check_real(where, "low", low, REAL, dtype))
    targets[np.arange(rows), labels] = check_real(where, "high", high, REAL, dtype)
    return targets
