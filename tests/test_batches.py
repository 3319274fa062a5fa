"""Mini-batches: every example once, the same for the same seed and epoch, classes in proportion."""

import numpy as np
import pytest

from gd.batches import batches, shuffled


@pytest.mark.parametrize("n, batch_size", [(1, 1), (10, 3), (10, 10), (10, 99), (1000, 128)])
def test_every_example_comes_once(n, batch_size):
    pieces = list(batches(n, batch_size, seed=1, epoch=2))
    assert sorted(np.concatenate(pieces).tolist()) == list(range(n))
    assert all(piece.size == batch_size for piece in pieces[:-1])
    assert [piece.tolist() for piece in pieces] == [piece.tolist() for piece in batches(n, batch_size, 1, 2)]


def test_orders_differ_by_seed_and_epoch():
    orders = {tuple(shuffled(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_the_last_batch_can_be_left_out():
    pieces = list(batches(10, 3, 0, 0, drop_last=True))
    assert [piece.size for piece in pieces] == [3, 3, 3]
    assert list(batches(2, 3, 0, 0, drop_last=True)) == []


def test_stratified_batches_hold_the_classes_in_proportion(rng):
    labels = np.repeat([7, -1, 3], [600, 300, 100])
    rng.shuffle(labels)
    seen = []
    for rows in batches(1000, 50, 3, 4, stratify=labels):
        counts = [int(np.sum(labels[rows] == label)) for label in (7, -1, 3)]
        assert all(abs(count - expected) <= 1 for count, expected in zip(counts, (30, 15, 5), strict=True))
        seen += rows.tolist()
    assert sorted(seen) == list(range(1000))
    assert seen != np.concatenate(list(batches(1000, 50, 3, 5, stratify=labels))).tolist()


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((0, 1, 0, 0), "n must be at least 1"),
        ((5, 0, 0, 0), "batch_size must be at least 1"),
        ((5, 1, -1, 0), "seed must be at least 0"),
        ((5, 1, 0, 0.5), "epoch must be an integer"),
        ((5, 1, 0, 0, 1), "drop_last must be True or False"),
        ((5, 1, 0, 0, False, np.zeros(4, int)), "stratify has shape"),
        ((5, 1, 0, 0, False, np.zeros(5)), "stratify has dtype float64, expected integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises((TypeError, ValueError), match=f"batches: {match}"):
        batches(*arguments)
