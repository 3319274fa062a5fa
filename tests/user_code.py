"""Code as users write it, which pyright checks with gd's annotations; a test runs it, too."""

import numpy as np
from numpy.typing import NDArray

import gd
from gd.typing import Rate


def rate(steps: int) -> Rate:
    return gd.schedules.LinearWarmup(gd.schedules.CosineDecay(1e-2, steps), steps // 10)


def train(X: NDArray[np.float32], labels: NDArray[np.int64]) -> list[float]:
    model = gd.MLP([X.shape[1], 16, 3], activation="leaky_relu", activation_parameters={"negative_slope": 0.1}, seed=1)
    optimizer = gd.AdamW(model.parameters, lr=rate(100), weight_decay=1e-2, clip_norm=1.0)
    history = gd.fit(model, X, labels, optimizer, batch_size=32, epochs=3, progress=False)
    assert 0.0 <= model.score(X, labels) <= 1.0
    return history.loss


def by_hand(X: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    w, b = np.zeros(X.shape[1], np.float32), np.zeros(1, np.float32)
    optimizer = gd.SGD({"w": w, "b": b}, lr=0.1, momentum=0.9, nesterov=True)
    loss, dw, db = gd.linear_model_gradient(X, y, w, b, "huber", delta=0.5)
    applied: bool = optimizer.step({"w": dw, "b": db})
    assert applied
    hidden = gd.leaky_relu(X, negative_slope=0.2)
    gd.dropout(hidden, p=0.1, out=hidden)
    return loss


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4)).astype(np.float32)
    print(train(X, (X[:, 0] > 0).astype(np.int64)), by_hand(X, X.sum(axis=1)))
