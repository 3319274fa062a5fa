"""Optimizers against PyTorch and optax, where those are installed: 50 steps of nasty gradients, states too."""

import numpy as np
import pytest

import gd
from gd.optimizers import OPTIMIZERS

STEPS, SIZE = 50, 40


def nasty(rng):
    """Return start values and gradients of arrays that try an optimizer's weak places."""
    kinds = {
        "normal": lambda: rng.standard_normal(SIZE),
        "zero": lambda: np.zeros(SIZE),
        "constant": lambda: np.linspace(-2, 2, SIZE),
        "tiny": lambda: 1e-12 * rng.standard_normal(SIZE),
        "huge": lambda: 1e6 * rng.standard_normal(SIZE),
        "spikes": lambda: rng.standard_normal(SIZE) * np.where(rng.random(SIZE) < 0.05, 1e4, 1),
        "one sign": lambda: np.abs(rng.standard_normal(SIZE)),
    }
    params = {key: rng.standard_normal(SIZE) for key in kinds}
    return params, [{key: kind() for key, kind in kinds.items()} for _ in range(STEPS)]


TORCH = [  # name, our keywords, theirs where they differ
    ("SGD", {"lr": 0.1}, {}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3}, {}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "l2": 0.1}, {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.2}, {}),
    ("Adagrad", {"l2": 0.1}, {}),
    ("RMSprop", {}, {}),
    ("RMSprop", {"rho": 0.9, "momentum": 0.5}, {"rho": "alpha"}),
    ("RMSprop", {"centered": True, "maximize": True}, {}),
    ("RMSprop", {"centered": True, "momentum": 0.5}, {}),
    ("Adadelta", {}, {}),
    ("Adadelta", {"rho": 0.95, "eps": 1e-4, "l2": 0.1, "maximize": True}, {}),
    ("Adam", {}, {}),
    ("Adam", {"betas": (0.8, 0.95), "l2": 0.1, "maximize": True}, {}),
    ("Adam", {"amsgrad": True, "betas": (0.9, 0.9)}, {}),
    ("AdamW", {}, {}),
    ("AdamW", {"weight_decay": 0.2, "eps": 1e-6, "amsgrad": True}, {}),
    ("Adamax", {}, {}),
    ("Adamax", {"betas": (0.8, 0.9), "l2": 0.1}, {}),
    ("NAdam", {}, {}),
    ("NAdam", {"momentum_decay": 0.1, "l2": 0.1}, {}),
    ("RAdam", {}, {}),
    ("RAdam", {"betas": (0.8, 0.9), "l2": 0.1, "maximize": True}, {}),
    ("Rprop", {}, {}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-4, 0.5)}, {}),
    ("ASGD", {}, {}),
    ("ASGD", {"lambd": 0.01, "t0": 10.0, "l2": 0.1}, {}),
]


def torch_optimizer(torch, name, keywords, theirs, tensors, **options):
    """Return PyTorch's optimizer with our keywords in its names."""
    names = {"l2": "weight_decay", **theirs}
    keywords = {names.get(key, key): value for key, value in keywords.items()}
    return getattr(torch.optim, name)(tensors, **keywords, **options)


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)  # of the scalars that it keeps, too
    yield torch
    torch.set_default_dtype(torch.float32)


def step_torch(torch, optimizer, tensors, g):
    for key, tensor in tensors.items():
        tensor.grad = torch.from_numpy(g[key].astype(tensor.detach().numpy().dtype))
    optimizer.step()


@pytest.mark.parametrize("name, keywords, theirs", TORCH)
def test_equals_pytorch_over_50_steps_of_nasty_gradients(name, keywords, theirs, rng, torch):
    params, gradients = nasty(rng)
    tensors = {key: torch.tensor(p, requires_grad=True) for key, p in params.items()}
    optimizer = OPTIMIZERS[name](params, **keywords)
    other = torch_optimizer(torch, name, keywords, theirs, list(tensors.values()))
    for g in gradients:
        optimizer.step(g)
        step_torch(torch, other, tensors, g)
    state = optimizer.state_dict()
    for key, tensor in tensors.items():
        np.testing.assert_allclose(params[key], tensor.detach().numpy(), rtol=1e-12, atol=1e-12)
        for slot in optimizer.slots:
            expected = other.state[tensor][slot].numpy()
            np.testing.assert_allclose(state[f"{key}.{slot}"], expected, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("name, keywords, theirs", TORCH)
def test_float32_errs_no_more_than_twice_as_much_as_pytorch(name, keywords, theirs, rng, torch):
    params, gradients = nasty(rng)
    gradients = [{key: g.astype(np.float32).astype(np.float64) for key, g in each.items()} for each in gradients]
    for key in params:
        params[key] = params[key].astype(np.float32).astype(np.float64)
    single = {key: p.astype(np.float32) for key, p in params.items()}
    tensors = {key: torch.tensor(p, requires_grad=True) for key, p in single.items()}
    exact, ours = OPTIMIZERS[name](params, **keywords), OPTIMIZERS[name](single, **keywords)
    other = torch_optimizer(torch, name, keywords, theirs, list(tensors.values()))
    for g in gradients:
        exact.step(g)
        ours.step({key: array.astype(np.float32) for key, array in g.items()})
        step_torch(torch, other, tensors, g)
    for key, p in params.items():
        scale = np.abs(p).max() * 2.0**-24  # half a unit in the last place of the largest
        error, theirs_error = (np.sqrt(np.mean((x - p) ** 2)) for x in (single[key], tensors[key].detach().numpy()))
        assert error <= 2 * theirs_error + scale, key


@pytest.mark.parametrize("name, keywords, theirs", TORCH)
def test_pytorch_and_gd_take_turns(name, keywords, theirs, rng, torch):
    params, gradients = nasty(rng)
    alone = {key: torch.tensor(p, requires_grad=True) for key, p in params.items()}
    turns = {key: torch.tensor(p, requires_grad=True) for key, p in params.items()}
    reference = torch_optimizer(torch, name, keywords, theirs, list(alone.values()))
    other = torch_optimizer(torch, name, keywords, theirs, list(turns.values()))
    shared = {key: tensor.detach().numpy() for key, tensor in turns.items()}  # the same memory
    for g in gradients:
        step_torch(torch, reference, alone, g)
    for g in gradients[:15]:
        step_torch(torch, other, turns, g)
    optimizer = OPTIMIZERS[name](shared, **keywords)
    gd.pytorch.from_torch(other, optimizer, steps=15)
    for g in gradients[15:35]:
        optimizer.step(g)
    back = torch_optimizer(torch, name, keywords, theirs, list(turns.values()))
    gd.pytorch.to_torch(optimizer, back)
    for g in gradients[35:]:
        step_torch(torch, back, turns, g)
    for key in params:
        expected = alone[key].detach().numpy()
        np.testing.assert_allclose(turns[key].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_arrays_without_a_gradient_are_left_alone_as_in_pytorch(rng, torch):
    params = {key: rng.standard_normal(5) for key in "abc"}
    tensors = {key: torch.tensor(p, requires_grad=True) for key, p in params.items()}
    for name in ("Adam", "NAdam", "SGD"):
        keywords = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = OPTIMIZERS[name](params, **keywords)
        other = torch_optimizer(torch, name, keywords, {}, list(tensors.values()))
        for step in range(12):
            g = {key: rng.standard_normal(5) if (step + k) % 3 else None for k, key in enumerate(params)}
            optimizer.step(g)
            for key, tensor in tensors.items():
                tensor.grad = None if g[key] is None else torch.from_numpy(g[key])
            other.step()
        for key, tensor in tensors.items():
            np.testing.assert_allclose(params[key], tensor.detach().numpy(), rtol=1e-12)
        if name != "SGD":
            saved = optimizer.state_dict()
            assert saved["steps"] == 12
            assert [saved[f"{key}.step"] for key in params] == [8, 8, 8]
        turned = OPTIMIZERS[name](params, **keywords)
        gd.pytorch.from_torch(other, turned)
        for key, value in turned.state_dict().items():
            if name != "SGD" and "step" not in key and key != "mu_product":  # which is that of `steps`
                np.testing.assert_allclose(value, optimizer.state_dict()[key], rtol=1e-12)


def test_conversion_refuses_what_does_not_match(torch):
    optimizer = gd.Adam([np.ones(2), np.ones(3)])
    two, three = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    for other, error, match in (
        (torch.optim.AdamW([two, three]), TypeError, "must be a torch.optim.Adam, got AdamW"),
        (torch.optim.Adam([two]), ValueError, "shapes"),
        (None, TypeError, "torch.optim.Adam"),
    ):
        for call in (
            lambda other=other: gd.pytorch.to_torch(optimizer, other),
            lambda other=other: gd.pytorch.from_torch(other, optimizer),
        ):
            with pytest.raises(error, match=match):
                call()
    with pytest.raises(TypeError, match="one of gd's"):
        gd.pytorch.to_torch(torch.optim.Adam([two]), torch.optim.Adam([two]))


OPTAX = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}, lambda o: o.sgd(0.1, momentum=0.9)),
    ("Adagrad", {"eps_inside": True, "eps": 1e-7, "initial_accumulator_value": 0.1}, lambda o: o.adagrad(1e-2)),
    ("RMSprop", {"rho": 0.9, "eps_inside": True}, lambda o: o.rmsprop(1e-2, eps_in_sqrt=True)),
    ("Adadelta", {}, lambda o: o.adadelta(1.0)),
    ("Adam", {"eps_inside": True, "eps": 1e-4}, lambda o: o.adam(1e-3, eps=0, eps_root=1e-4)),
    ("Adam", {"amsgrad": "corrected", "betas": (0.9, 0.9)}, lambda o: o.amsgrad(1e-3, b2=0.9)),
    ("AdamW", {"weight_decay": 1e-4}, lambda o: o.adamw(1e-3)),
    ("Adamax", {}, lambda o: o.adamax(2e-3)),
    ("NAdam", {"momentum_decay": np.inf}, lambda o: o.nadam(2e-3)),
    ("RAdam", {"eps_hat": False}, lambda o: o.radam(1e-3)),
    ("Lion", {"weight_decay": 1e-3}, lambda o: o.lion(1e-4)),
    ("Yogi", {}, lambda o: o.yogi(1e-2)),
    ("AdaBelief", {}, lambda o: o.adabelief(1e-3)),
    ("LAMB", {}, lambda o: o.lamb(1e-3)),
    ("LAMB", {"weight_decay": 0.1, "eps": 1e-3}, lambda o: o.lamb(1e-3, eps=1e-3, weight_decay=0.1)),
    ("LARS", {}, lambda o: o.lars(1.0)),
    ("LARS", {"l2": 0.1, "momentum": 0.5}, lambda o: o.lars(1.0, weight_decay=0.1, momentum=0.5)),
    ("AdEMAMix", {}, lambda o: o.contrib.ademamix(1e-3)),
    ("ADOPT", {}, lambda o: o.contrib.adopt(1e-3)),
    ("Adan", {"betas": (0.98, 0.5, 0.99)}, lambda o: o.adan(1e-3, b2=0.5, eps_root=0.0)),
    (
        "Adan",
        {"betas": (0.9, 0.5, 0.95), "eps": 1e-4, "eps_inside": True, "weight_decay": 0.1, "no_prox": True},
        lambda o: o.adan(1e-3, 0.9, 0.5, 0.95, eps=0.0, eps_root=1e-4, weight_decay=0.1),
    ),
    ("Prodigy", {"bias_correction": True}, lambda o: o.contrib.prodigy()),
    (
        "Prodigy",
        {"bias_correction": True, "weight_decay": 0.1, "beta3": 0.9, "d0": 1e-3, "d_coef": 0.5, "eps": 1e-3},
        lambda o: o.contrib.prodigy(
            beta3=0.9, eps=1e-3, estim_lr0=1e-3, estim_lr_coef=0.5, weight_decay=0.1, safeguard_warmup=False
        ),
    ),
    ("ScheduleFreeAdamW", {}, lambda o: o.contrib.schedule_free_adamw()),
    ("ScheduleFreeAdamW", {"weight_decay": 0.1}, lambda o: o.contrib.schedule_free_adamw(weight_decay=0.1)),
]


@pytest.mark.parametrize("name, keywords, theirs", OPTAX)
@pytest.mark.filterwarnings("ignore")  # of jax's and optax's own
def test_equals_optax_over_50_steps_of_nasty_gradients(name, keywords, theirs, rng):
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    params, gradients = nasty(rng)
    trees = {key: jax.numpy.array(p) for key, p in params.items()}
    other = theirs(optax)
    state, optimizer = other.init(trees), OPTIMIZERS[name](params, **keywords)
    update = jax.jit(other.update)
    for g in gradients:
        optimizer.step(g)
        updates, state = update({key: jax.numpy.array(array) for key, array in g.items()}, state, trees)
        trees = optax.apply_updates(trees, updates)
    for key, p in params.items():
        np.testing.assert_allclose(p, trees[key], rtol=1e-12, atol=1e-12, err_msg=key)
    if name == "ScheduleFreeAdamW":
        expected = optax.contrib.schedule_free_eval_params(state, trees)
        for key, p in optimizer.averaged_params().items():
            np.testing.assert_allclose(p, expected[key], rtol=1e-12, atol=1e-12)
