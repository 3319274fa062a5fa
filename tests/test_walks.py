"""Optimizers that step matrices by their shape: Adafactor, SM3, Muon; their state has shapes of its own."""

import pickle

import numpy as np
import pytest

import gd
from gd import reference
from gd.kernels.compiler import splitting
from gd.kernels.loops import matrices
from gd.optimizers import OPTIMIZERS

CASES = [
    ("Adafactor", {}),
    ("Adafactor", {"momentum": 0.9, "weight_decay": 0.1, "ema": 0.9}),
    ("Adafactor", {"eps_inside": True, "d": np.inf, "relative_step": False, "scale_parameter": False}),
    ("Adafactor", {"eps": (0.5, 1e-3), "l2": 0.1, "clip_value": 0.5, "min_size_to_factor": 6}),
    ("SM3", {"weight_decay": 0.1}),
    ("SM3", {"momentum": 0.0, "eps": 0.0, "l1": 0.1, "ema": 0.5}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "ema": 0.9}),
    ("Muon", {"momentum": 0.0, "adjust_lr_fn": "original_transposed", "clip_norm": 1.0, "l2": 0.1}),
    ("Muon", {"use_muon": False}),
]
NAMES = sorted({name for name, _ in CASES})
SHAPES = [(40, 30), (30, 40), (3, 5, 6), (130, 140), (1, 7), (7, 1), (5,), ()]
names = pytest.mark.parametrize("name", NAMES)


def normal(rng, shape, dtype=np.float64):
    return np.asarray(rng.standard_normal(shape), dtype)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def test_those_that_have_a_walk_are_all_here():
    assert sorted(name for name, each in OPTIMIZERS.items() if each.walk is not None) == NAMES


@pytest.mark.parametrize("name, keywords", CASES)
def test_equals_plain_numpy_in_every_shape(name, keywords, rng, dtype):
    params = {str(k): normal(rng, shape, dtype) for k, shape in enumerate(SHAPES)}
    expected = {key: p.astype(float) for key, p in params.items()}
    optimizer, plain = OPTIMIZERS[name](params, **keywords), reference.Optimizer(name, expected, **keywords)
    for step in range(8):
        g = {key: (step != 3) * normal(rng, p.shape, dtype) for key, p in params.items()}
        assert optimizer.step(g, grad_scale=0.5)
        plain.step({key: each.astype(float) for key, each in g.items()}, grad_scale=0.5)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    state = optimizer.state_dict()
    for key, p in params.items():
        np.testing.assert_allclose(p, expected[key], rtol=tolerance, atol=tolerance)
        for slot, values in plain.state[key].items():
            np.testing.assert_allclose(state[f"{key}.{slot}"], values, rtol=tolerance, atol=tolerance)
        if optimizer.ema:
            averages = optimizer.ema_params()[key]
            np.testing.assert_allclose(averages, plain.averages[key], rtol=tolerance, atol=tolerance)


@names
@pytest.mark.parametrize("shape", [(300, 200), (3, 5000), (2, 65, 300)])
def test_the_bits_do_not_depend_on_threads(name, shape, rng, dtype):
    start, gradients = normal(rng, shape, dtype), normal(rng, (3, *shape), dtype)
    results = []
    for parallel_from in (np.inf, 1):
        p = start.copy()
        optimizer = OPTIMIZERS[name](p)
        with splitting(parallel_from):
            for g in gradients:
                optimizer.step(g)
        results.append((p, optimizer.state_dict()))
    assert np.array_equal(results[0][0], results[1][0])
    assert same(results[0][1], results[1][1])


@names
def test_tiles_that_end_within_a_matrix_make_no_difference_but_rounding(name, rng, monkeypatch):
    shape = 2, matrices.ROWS + 1, matrices.COLUMNS + 3
    p, g = normal(rng, (2, *shape))
    expected = {"p": p.copy()}
    plain = reference.Optimizer(name, expected, weight_decay=0.0)
    optimizer = OPTIMIZERS[name](p, weight_decay=0.0)
    for _ in range(2):
        optimizer.step(g)
        plain.step({"p": g})
    np.testing.assert_allclose(p, expected["p"], rtol=1e-11)


@names
@pytest.mark.parametrize("axes", [(1, 0), (2, 0, 1)], ids=str)
def test_the_order_of_memory_makes_no_difference(name, axes, rng):
    shape = (6, 5, 4)[: len(axes)]
    start, gradients = normal(rng, shape), normal(rng, (3, *shape))
    plain, ordered = start.copy(), np.ascontiguousarray(start.transpose(axes)).transpose(np.argsort(axes))
    assert not ordered.flags.c_contiguous
    keywords = {"ema": 0.5} | ({"momentum": 0.5} if name != "Muon" else {})
    optimizer, other = OPTIMIZERS[name](plain, **keywords), OPTIMIZERS[name](ordered, **keywords)
    for g in gradients:
        optimizer.step(g)
        other.step(np.asfortranarray(g))
    assert np.array_equal(plain, ordered)
    assert np.array_equal(optimizer.ema_params(), other.ema_params())
    assert same(optimizer.state_dict(), other.state_dict())


# --- What every optimizer can do


def example(rng):
    shapes = {"W": (6, 5), "b": (5,), "E": (3, 4)}
    return {key: normal(rng, shape) for key, shape in shapes.items()}


def gradients_of(params, rng):
    return {key: normal(rng, p.shape) for key, p in params.items()}


@names
def test_states_are_saved_and_pickled(name, rng, tmp_path):
    params = example(rng)
    optimizer = OPTIMIZERS[name](params, ema=0.5, groups=[{"params": ["E"], "lr": 0.01}])
    optimizer.step(gradients_of(params, rng))
    gd.save(tmp_path / "state", optimizer.state_dict())
    clone = pickle.loads(pickle.dumps(optimizer))
    copies = {key: p.copy() for key, p in params.items()}
    loaded = OPTIMIZERS[name](copies, ema=0.5, groups=[{"params": ["E"], "lr": 0.01}])
    loaded.load_state_dict(gd.load(tmp_path / "state"))
    g = gradients_of(params, rng)
    for each in (optimizer, clone, loaded):
        each.step(g)
    assert same(params, clone.params)
    assert same(params, copies)
    with pytest.raises(ValueError, match="shape"):
        slot = next(key for key in loaded.state_dict() if key.startswith("W."))
        loaded.load_state_dict(loaded.state_dict() | {slot: np.ones((2, 2))})


@names
def test_a_folder_holds_the_state(name, rng, tmp_path):
    params = example(rng)
    expected = {key: p.copy() for key, p in params.items()}
    other = OPTIMIZERS[name](expected)
    for _ in range(2):
        with OPTIMIZERS[name](params, state_dir=tmp_path / "state") as optimizer:
            g = gradients_of(params, rng)
            optimizer.step(g)
            other.step(g)
    assert optimizer.steps == 2
    assert same(params, expected)


@names
def test_norms_are_tracked_and_gradients_cleared(name, rng):
    params, g = example(rng), None
    before, g = {key: p.copy() for key, p in params.items()}, gradients_of(params, rng)
    kept = {key: each.copy() for key, each in g.items()}
    optimizer = OPTIMIZERS[name](params, track_norms=True, zero_grads=True)
    optimizer.step(g, grad_scale=0.5)
    assert not any(each.any() for each in g.values())
    moved = np.concatenate([(p - before[key]).ravel() for key, p in params.items()])
    norms = [0.5 * np.concatenate([each.ravel() for each in kept.values()]), moved]
    norms.append(np.concatenate([p.ravel() for p in params.values()]))
    np.testing.assert_allclose(optimizer.norms, list(map(np.linalg.norm, norms)), rtol=1e-12)


@names
def test_many_arrays_and_vectors_of_parameters_step_alike(name, rng):
    params = [normal(rng, (4, 3) if k % 2 else (5,)) for k in range(12)]
    vector = gd.ParameterVector.from_arrays({f"p{k}": p for k, p in enumerate(params)})
    alone = [p.copy() for p in params]
    optimizer, other = OPTIMIZERS[name](params), OPTIMIZERS[name](vector)
    single = [OPTIMIZERS[name](p) for p in alone]
    for missing in (None, 1, None):
        g = [None if k == missing else normal(rng, p.shape) for k, p in enumerate(params)]
        optimizer.step(g)
        other.step({f"p{k}": each for k, each in enumerate(g)})
        for each, one in zip(single, g, strict=True):
            if one is not None:
                each.step(one)
    for k, p in enumerate(params):
        assert np.array_equal(p, alone[k])
        assert np.array_equal(p, vector[f"p{k}"])


@names
def test_what_needs_single_elements_is_refused(name):
    W = np.ones((4, 3), np.float32)
    for options in ({"state_dtype": "int8"}, {"param_dtype": "bfloat16"}):
        p = W.view(np.uint16) if "param_dtype" in options else W
        with pytest.raises(TypeError, match=f"{name}: state_dtype, param_dtype and bfloat16 are not for {name}"):
            OPTIMIZERS[name](p, **options)
    with pytest.raises(TypeError, match=f"{name} steps whole arrays, it cannot step single rows"):
        OPTIMIZERS[name](W).step_rows(None, np.array([1]), np.ones((1, 3), np.float32))
    assert (W == 1).all()


@names
@pytest.mark.parametrize("model", ["MLP", "LinearModel"])
def test_fit_takes_the_steps_of_a_loop(name, model, rng):
    X, y = rng.standard_normal((60, 6)).astype(np.float32), rng.integers(0, 3, 60)

    def make():
        return gd.MLP([6, 10, 3], seed=1) if model == "MLP" else gd.LinearModel(6, 3, "softmax_cross_entropy")

    fitted, stepped = make(), make()
    gd.fit(fitted, X, y, OPTIMIZERS[name](fitted.parameters), batch_size=20, epochs=2, progress=False)
    optimizer = OPTIMIZERS[name](stepped.parameters)
    for epoch in range(2):
        for rows in gd.batches.batches(60, 20, 0, epoch):
            optimizer.step(stepped.loss_and_gradients(X[rows], y[rows])[1])
    assert np.array_equal(fitted.parameters.vector, stepped.parameters.vector)


def test_arguments_of_their_own_are_checked():
    p = np.ones((2, 2))
    for make, error, match in (
        (lambda: gd.Adafactor(p, eps=(None, None)), TypeError, r"Adafactor: eps\[1\] must be a number in \(0, inf\)"),
        (lambda: gd.Adafactor(p, eps=1e-3), TypeError, r"eps must be \(number or None, number\), got 0.001"),
        (lambda: gd.Muon(p, ns_steps=2.5), ValueError, "Muon: ns_steps must be an integer, got 2.5"),
        (lambda: gd.Muon(p, adjust_lr_fn="rms"), ValueError, "adjust_lr_fn must be one of match_rms_adamw, original"),
    ):
        with pytest.raises(error, match=match):
            make()


# --- Peers


@pytest.mark.parametrize("shape", [(7,), (40, 30), (3, 5, 6), (200, 300)], ids=str)
@pytest.mark.parametrize("keywords", [{}, {"weight_decay": 0.1, "maximize": True}, {"d": 1.5, "lr": 0.3}], ids=str)
def test_adafactor_is_that_of_torch(shape, keywords, rng):
    torch = pytest.importorskip("torch")
    p = normal(rng, shape)
    tensor = torch.tensor(p, requires_grad=True)
    optimizer, other = gd.Adafactor(p, **keywords), torch.optim.Adafactor([tensor], **keywords)
    for _ in range(20):
        g = normal(rng, shape) * 10.0 ** rng.integers(-12, 6)
        optimizer.step(g)
        tensor.grad = torch.from_numpy(g.copy())
        other.step()
    np.testing.assert_allclose(p, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)
    for slot, values in optimizer.state_dict().items():
        if slot != "steps":
            np.testing.assert_allclose(values, other.state[tensor][slot].numpy(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (128, 128)], ids=str)
@pytest.mark.parametrize("keywords", [{}, {"adjust_lr_fn": "match_rms_adamw", "nesterov": False}], ids=str)
def test_muon_is_that_of_torch_to_the_precision_of_its_bfloat16(shape, keywords, rng):
    torch = pytest.importorskip("torch")
    p = 0.1 * normal(rng, shape)
    start, tensor = p.copy(), torch.tensor(p, requires_grad=True)
    optimizer, other = gd.Muon(p, lr=0.02, **keywords), torch.optim.Muon([tensor], lr=0.02, **keywords)
    for _ in range(10):
        g = normal(rng, shape)
        optimizer.step(g)
        tensor.grad = torch.from_numpy(g.copy())
        other.step()
    theirs = tensor.detach().numpy()
    assert np.linalg.norm(p - theirs) < 2e-2 * np.linalg.norm(theirs - start)
    buffer = other.state[tensor]["momentum_buffer"].numpy()
    np.testing.assert_allclose(optimizer.state_dict()["momentum_buffer"], buffer, rtol=1e-12, atol=1e-15)


def factored(optax, jax, d, momentum):
    """Return optax's Adafactor with a decay in float64; its own is rounded to float32."""
    parts = [
        optax.scale_by_factored_rms(decay_rate_fn=lambda step, rate: 1 - (step + 1.0) ** -rate),
        *([optax.clip_by_block_rms(d)] if d < np.inf else []),
        optax.scale_by_learning_rate(0.01, flip_sign=False),
        optax.scale_by_param_block_rms(),
        *([optax.ema(momentum, debias=False)] if momentum else []),
        optax.scale(-1),
    ]
    return optax.chain(*parts)


FACTORED = {"lr": 0.01, "relative_step": False, "eps_inside": True, "min_size_to_factor": 128}
OPTAX = [
    ("Adafactor", FACTORED, lambda o, j: factored(o, j, 1.0, 0.0)),
    ("Adafactor", FACTORED | {"d": np.inf, "momentum": 0.9}, lambda o, j: factored(o, j, np.inf, 0.9)),
    ("SM3", {}, lambda o, j: o.sm3(0.1)),
    ("SM3", {"lr": 0.3, "momentum": 0.0}, lambda o, j: o.sm3(0.3, momentum=0.0)),
    (
        "Muon",
        {"nesterov": False, "weight_decay": 0.0, "adjust_lr_fn": "original_transposed"},
        lambda o, j: o.contrib.muon(1e-3, nesterov=False, eps=1e-30),
    ),
    (
        "Muon",
        {"nesterov": False, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"},
        lambda o, j: o.contrib.muon(1e-3, nesterov=False, eps=1e-30, consistent_rms=0.2),
    ),
]


@pytest.mark.parametrize("name, keywords, theirs", OPTAX)
@pytest.mark.parametrize("shape", [(140, 150), (150, 140), (3, 140, 160), (9,)], ids=str)
@pytest.mark.filterwarnings("ignore")  # of jax's and optax's own
def test_equals_optax(name, keywords, theirs, shape, rng):
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    if name == "Muon" and len(shape) != 2:
        pytest.skip("Adam's eps has another name there")
    p, other = normal(rng, shape), theirs(optax, jax)
    tree, optimizer = jax.numpy.array(p), OPTIMIZERS[name](p, **keywords)
    state, update = other.init(tree), jax.jit(other.update)
    for _ in range(10):
        g = normal(rng, shape) * 10.0 ** rng.integers(-3, 3)
        optimizer.step(g)
        updates, state = update(jax.numpy.array(g), state, tree)
        tree = optax.apply_updates(tree, updates)
    np.testing.assert_allclose(p, tree, rtol=1e-11, atol=1e-12)
