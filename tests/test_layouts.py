"""Parameters of every shape and memory layout: single numbers, arrays without elements, transposed and other orders."""

import copy
import pickle

import numpy as np
import pytest

import gd
from gd.optimizers import OPTIMIZERS

NAMES = sorted(OPTIMIZERS)
ELEMENTWISE = [name for name in NAMES if not OPTIMIZERS[name].trust_norms]


# --- Single numbers and arrays without elements


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_empty_arrays_step_like_others(name, rng):
    full = [rng.standard_normal(3), rng.standard_normal(1)]
    params = [full[0].copy(), np.ones((0, 3)), full[1].reshape(()).copy(), np.ones(0)]
    optimizer, other = OPTIMIZERS[name](params), OPTIMIZERS[name](full)
    for _ in range(3):
        g = [rng.standard_normal(3), rng.standard_normal(1)]
        optimizer.step([g[0], np.ones((0, 3)), g[1].reshape(()), np.ones(0)])
        other.step(g)
    assert np.array_equal(params[0], full[0])
    assert params[2].shape == ()
    assert params[2] == full[1][0]
    clone = pickle.loads(pickle.dumps(optimizer))
    assert {key: np.shape(each) for key, each in clone.state_dict().items()} == {
        key: np.shape(each) for key, each in optimizer.state_dict().items()
    }


@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 1.0, "skip_nonfinite": True, "ema": 0.5},
        {"state_dtype": "int8", "zero_grads": True, "track_norms": True},
        {"state_dtype": "bfloat16"},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.parametrize("count", [1, 3, 12])
def test_options_take_empty_arrays(options, count):
    params = [np.ones((), np.float32), np.ones((2, 0), np.float32), np.ones(3, np.float32)] * 4
    params = [p.copy() for p in params[-count:]]
    optimizer = gd.Adam(params, lr=0.5, **options)
    assert optimizer.step([np.ones_like(p) for p in params])
    assert all(p.size == 0 or abs(p - 0.5).max() < 0.01 for p in params)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.accumulate([np.ones_like(p) for p in params])
    assert optimizer.step()
    only = gd.Adam(np.ones((0, 3)), **options)
    assert only.step(np.ones((0, 3)))
    assert only.steps == 1


def test_a_number_takes_the_scalars_that_numpy_computes():
    p = np.array(3.0)
    optimizer = gd.SGD(p, lr=0.25)
    for _ in range(2):
        assert optimizer.step(2 * (p - 1))  # a np.float64
    assert p == 1.5
    both = gd.SGD([p, np.ones(2)], lr=0.25)
    assert both.step([2 * (p - 1), None])
    assert p == 1.25
    for bad in (1.0, np.float32(1), np.ones(1)):
        with pytest.raises((TypeError, ValueError), match=r"SGD\.step: grads"):
            optimizer.step(bad)
    with pytest.raises(TypeError, match="grads must be a NumPy array, got float64"):  # it could not be set to 0
        gd.SGD(p, zero_grads=True).step(np.float64(1))


def test_an_empty_array_overlaps_nothing(rng):
    x = rng.standard_normal(20)
    params = [x[4:4], x[:8], x[0:0], *(np.ones(1) for _ in range(8))]
    optimizer = gd.SGD(params, lr=1.0)
    others = [np.ones(1)] * 8
    for _ in range(2):
        with pytest.raises(ValueError, match=r"grads\[1\] overlaps params\[1\]"):
            optimizer.step([np.ones(0), x[2:10], x[3:3], *others])
    assert optimizer.step([x[5:5], np.ones(8), None, *others])


def test_parameter_vectors_hold_numbers_and_empty_arrays(rng):
    parameters = gd.ParameterVector.from_arrays({"scale": np.array(2.0), "none": np.ones((0, 4)), "b": np.ones(3)})
    assert parameters.shapes == {"scale": (), "none": (0, 4), "b": (3,)}
    assert parameters.vector.tolist() == [2, 1, 1, 1]
    optimizer = gd.LAMB(parameters, lr=0.5)
    assert optimizer.step({"scale": np.array(1.0), "none": np.ones((0, 4)), "b": np.ones(3)})
    np.testing.assert_allclose(parameters.vector, [1.0, 0.5, 0.5, 0.5], rtol=1e-5)
    assert copy.deepcopy(optimizer).params["scale"] == parameters["scale"]
    assert gd.ParameterVector({"a": ()})["a"].shape == ()
    with pytest.raises(ValueError, match=r"shapes\['a'\] must be integers, 0 or above, got \(-1,\)"):
        gd.ParameterVector({"a": (-1,)})


def test_a_state_folder_and_rows_of_empty_arrays(tmp_path):
    params = [np.ones(0), np.ones(3)]
    for _ in range(2):
        with gd.Adam(params, lr=0.25, state_dir=tmp_path / "state") as optimizer:
            optimizer.step([np.ones(0), np.ones(3)])
    np.testing.assert_allclose(params[1], 0.5, rtol=1e-6)
    for rows in (0, 2):
        optimizer = gd.Adam(np.ones((3, 0)))
        assert optimizer.step_rows(None, np.arange(rows), np.ones((rows, 0)))
    assert gd.Adam(np.ones((0, 3))).step_rows(None, np.arange(0), np.ones((0, 3)))


def test_numbers_and_empty_tensors_step_as_in_torch():
    torch = pytest.importorskip("torch")
    theirs = [
        torch.ones(0, 3, requires_grad=True),
        torch.ones(2, requires_grad=True),
        torch.tensor(1.0).requires_grad_(),
    ]
    ours = [p.detach().clone() for p in theirs]
    their_optimizer, optimizer = torch.optim.Adam(theirs), gd.Adam(ours)
    for turn in range(2):
        for p in theirs:
            p.grad = torch.full_like(p, 0.5)
        their_optimizer.step()
        optimizer.step([torch.full_like(p, 0.5) for p in ours])
        if turn == 0:
            gd.pytorch.to_torch(optimizer, their_optimizer)
            gd.pytorch.from_torch(their_optimizer, optimizer)
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.numpy(), rtol=1e-6)
