"""What scenarios have in common: see scenarios.py."""

import hashlib

import numpy as np

import gd


class Skipped(Exception):
    """A scenario cannot be run here: its argument says why."""


MAKERS = (
    lambda p: gd.Adam(p, lr=0.01),
    lambda p: gd.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    lambda p: gd.NAdam({"a": p[:30_000], "b": p[30_000:]}, lr=0.01, clip_norm=1.0),
    lambda p: gd.LAMB(p, lr=0.01, weight_decay=0.1),
)


def stepped(k, steps=20):
    """Return a digest of parameters and state after some steps; k says which optimizer, and by which gradients."""
    rng = np.random.default_rng(k)
    p = rng.standard_normal(60_000 + k, dtype=np.float32)
    optimizer = MAKERS[k % len(MAKERS)](p)
    for _ in range(steps):
        g = rng.standard_normal(p.size, dtype=np.float32)
        optimizer.step({"a": g[:30_000], "b": g[30_000:]} if isinstance(optimizer.params, dict) else g)
    return digest(p, optimizer.state_dict())


def trained(k, epochs=2):
    """Return a digest of a small network after its training."""
    rng = np.random.default_rng(k)
    X, y = rng.standard_normal((300, 20), dtype=np.float32), rng.integers(0, 3, 300)
    model = gd.MLP([20, 16, 3], seed=k)
    optimizer = gd.Adam(model.parameters)
    gd.fit(model, X, y, optimizer, batch_size=32, epochs=epochs, progress=False, seed=k)
    return digest(model.parameters.vector, optimizer.state_dict())


def digest(p, state):
    """Return a hash of parameters and the state of their optimizer."""
    total = hashlib.sha256(p.tobytes())
    for name, value in state.items():
        total.update(name.encode() + np.asarray(value).tobytes())
    return total.hexdigest()
