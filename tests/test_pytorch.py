"""gd.pytorch: gd's formulas as torch.optim optimizers, held to what PyTorch's own tests of torch.optim ask."""

import copy
import io
import pickle
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest

import gd
from gd.optimizers import one_by_one
from gd.reference import Optimizer as Reference

torch = pytest.importorskip("torch")
F = torch.nn.functional
BOTH = [name for name in one_by_one() if hasattr(torch.optim, name)]
KEYWORDS = [  # name, arguments of torch.optim
    *((name, {}) for name in BOTH),
    *((name, {"weight_decay": 0.1, "maximize": True}) for name in BOTH if name != "Rprop"),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"amsgrad": True, "betas": (0.8, 0.95), "foreach": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "fused": True}),
    ("AdamW", {"amsgrad": True, "eps": 1e-6, "capturable": False}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.5, "centered": True, "eps": 0.1}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-4, 0.5)}),
    ("ASGD", {"lambd": 0.01, "t0": 10.0}),
]


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)  # of the numbers in the state, too
    yield
    torch.set_default_dtype(torch.float32)


def ours(name):
    return getattr(gd.pytorch, name)


def theirs(name):
    return getattr(torch.optim, name)


def network(width=3):
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 2))


X, Y = torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(10, 4), torch.ones(10, 2, dtype=torch.float64)


def train(model, optimizer, steps, schedulers=(), set_to_none=True):
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=set_to_none)
        F.mse_loss(model(X), Y).backward()
        optimizer.step()
        for each in schedulers:
            each.step()


def both(name, keywords=None, prepare=lambda optimizer: (), steps=20):
    """Return (model, optimizer) of gd and of PyTorch after equal trainings."""
    made = []
    for make in (ours(name), theirs(name)):
        model = network()
        optimizer = make(model.parameters(), **(keywords or {}))
        train(model, optimizer, steps, prepare(optimizer))
        made.append((model, optimizer))
    return made


def assert_equal(model, other, rtol=1e-12):
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name, keywords", KEYWORDS)
def test_equals_pytorch_over_50_steps_and_so_do_state_dicts(name, keywords):
    (model, optimizer), (other_model, other) = both(name, keywords, steps=50)
    assert isinstance(optimizer, theirs(name))
    assert_equal(model, other_model)
    mine, expected = optimizer.state_dict(), other.state_dict()
    assert mine["param_groups"] == expected["param_groups"]
    assert mine["state"].keys() == expected["state"].keys()
    for k, entry in expected["state"].items():
        assert mine["state"][k].keys() == entry.keys()
        for slot, value in entry.items():
            assert mine["state"][k][slot].shape == value.shape
            np.testing.assert_allclose(mine["state"][k][slot], value, rtol=1e-12, atol=1e-14, err_msg=slot)


@pytest.mark.parametrize("name, keywords", KEYWORDS)
def test_state_dicts_go_both_ways(name, keywords):
    (_, _), (reference, _) = both(name, keywords, steps=30)
    model = network()
    first = theirs(name)(model.parameters(), **keywords)
    train(model, first, 10)
    second = ours(name)(model.parameters(), **keywords)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(model, second, 10)
    file = io.BytesIO()
    torch.save(second.state_dict(), file)
    file.seek(0)
    third = theirs(name)(model.parameters(), **keywords)
    third.load_state_dict(torch.load(file, weights_only=True))
    train(model, third, 10)
    assert_equal(model, reference)


@pytest.mark.parametrize("name", one_by_one())
def test_copies_and_pickles_continue(name):
    model = network()
    optimizer = ours(name)(model.parameters())
    train(model, optimizer, 3)
    pairs = [copy.deepcopy((model, optimizer)), pickle.loads(pickle.dumps((model, optimizer)))]
    train(model, optimizer, 4)
    for other, copied in pairs:
        assert type(copied) is type(optimizer)
        train(other, copied, 4)
        assert_equal(model, other, 1e-15)
    assert "lr" in repr(optimizer)


@pytest.mark.parametrize("name", one_by_one())
def test_every_optimizer_equals_its_reference(name):
    p = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
    array = p.detach().numpy().copy()
    generic, reference = gd.pytorch.Optimizer([p], one_by_one()[name]), Reference(name, {"p": array})
    for _ in range(5):
        p.grad = torch.randn(3, 4)
        generic.step()
        reference.step({"p": p.grad.numpy()})
    np.testing.assert_allclose(p.detach().numpy(), array, rtol=1e-12, atol=1e-13)


SCHEDULERS = {
    "OneCycleLR": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=30),
    "CyclicLR": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, 4, cycle_momentum=True),
    "CosineAnnealingLR": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    "StepLR": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name, keywords", [("Adam", {}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("NAdam", {})])
def test_schedulers_drive_rates_and_momentum(name, keywords, scheduler):
    (model, _), (other, _) = both(name, keywords, lambda o: [SCHEDULERS[scheduler](o)])
    assert_equal(model, other)


def test_any_hyper_parameter_may_change_between_steps():
    made = []
    for make in (ours("SGD"), theirs("SGD")):
        model = network()
        optimizer = make(model.parameters(), lr=torch.tensor(0.1))
        for change in ({}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.5}, {"nesterov": True}):
            optimizer.param_groups[0].update(change)
            train(model, optimizer, 3)
        optimizer.param_groups[0]["lr"].fill_(0.01)
        train(model, optimizer, 3)
        made.append(model)
    assert_equal(*made)


def test_groups_have_arguments_of_their_own_and_can_be_added():
    made = []
    for make in (ours("AdamW"), theirs("AdamW")):
        model = network()
        groups = [{"params": model[0].weight, "lr": 0.1}, {"params": [model[0].bias], "weight_decay": 0.0}]
        optimizer = make(groups, lr=0.02, betas=(0.8, 0.9))
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        train(model, optimizer, 5, [scheduler])
        optimizer.add_param_group({"params": model[2].parameters(), "betas": (0.5, 0.5), "maximize": True})
        train(model, optimizer, 5)
        made.append(model)
    assert_equal(*made)


def test_gradients_may_be_none_zeroed_or_frozen_later():
    made = []
    for make in (ours("Adam"), theirs("Adam")):
        model = network()
        model[2].weight.requires_grad_(False)
        optimizer = make(model.parameters(), lr=0.05)
        optimizer.step()  # without any gradient
        assert not optimizer.state
        train(model, optimizer, 3, set_to_none=False)
        assert model[2].weight not in optimizer.state
        model[2].weight.requires_grad_(True)
        train(model, optimizer, 3)
        model[0].bias.requires_grad_(False)
        train(model, optimizer, 3)
        made.append((model, optimizer))
    assert_equal(made[0][0], made[1][0])
    steps = [[entry["step"].item() for entry in optimizer.state.values()] for _, optimizer in made]
    assert sorted(steps[0]) == sorted(steps[1]) == [6, 6, 9, 9]


def laid_out():
    """Return parameters of all layouts, and gradients that have others."""
    params = [
        torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        torch.randn(3, 1, 2, 2).contiguous(memory_format=torch.channels_last),
        torch.randn(4, 6).t(),
        torch.randn(3, 4, 5).permute(1, 2, 0),
        torch.randn(6, 5, 2)[..., 0],  # not dense
        torch.randn(7)[::2],
        torch.tensor(0.5),
        torch.randn(0, 3),
        torch.randn(5, 3),
    ]
    return [p.detach().requires_grad_() for p in params]


@pytest.mark.parametrize("few", [True, False])
def test_layouts_are_stepped_in_place(few):
    made = []
    for make in (ours("Adam"), theirs("Adam")):
        torch.manual_seed(2)
        params = laid_out()
        bases = [p.data_ptr() for p in params]
        optimizers = [make([p]) for p in params] if few else [make(params)]
        for k in range(4):
            for p in params:
                p.grad = torch.randn(p.shape) if k % 2 else torch.randn_like(p)
            for optimizer in optimizers:
                optimizer.step()
        assert [p.data_ptr() for p in params] == bases
        made.append(params)
    for p, q in zip(*made, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12)
    assert gd.pytorch.Adam([made[0][0]]).param_groups[0]["params"][0] is made[0][0]


@pytest.mark.parametrize("count", [2, 12])
def test_dtypes_stand_side_by_side(count):
    dtypes = torch.float32, torch.float64, torch.bfloat16
    params = [torch.nn.Parameter(torch.ones(300, dtype=dtypes[k % 3])) for k in range(3 * count)]
    optimizer = gd.pytorch.AdamW(params, lr=0.01)
    for _ in range(40):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    state = [optimizer.state[p]["exp_avg_sq"].dtype for p in params]
    assert state == [p.dtype for p in params]
    expected = params[1].detach().numpy()
    np.testing.assert_allclose(params[0].detach().numpy(), expected, rtol=1e-5)
    assert abs(params[2].detach().double().mean() - expected.mean()) < 2e-3  # rounded stochastically, not lost
    other = torch.optim.AdamW(params, lr=0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.load_state_dict(copy.deepcopy(other.state_dict()))
    optimizer.step()
    assert optimizer.state[params[2]]["step"] == 41


@pytest.mark.parametrize("options", [{"state_dtype": "bfloat16"}, {"master_weights": True}, {"clip_value": 0.1}])
def test_options_of_gd_survive_a_state_dict(options):
    dtype = torch.bfloat16 if "master_weights" in options else torch.float32
    params = [torch.nn.Parameter(torch.ones(300, dtype=dtype))]
    optimizer = gd.pytorch.Adam(params, lr=0.01, **options)
    again = None
    for k in range(6):
        params[0].grad = torch.ones_like(params[0])
        if k == 3:
            again = copy.deepcopy(params)
            second = gd.pytorch.Adam(again, lr=0.01, **options)
            second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        if again:
            again[0].grad = params[0].grad.clone()
            second.step()
        optimizer.step()
    assert torch.equal(params[0], again[0])


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "SparseAdam"])
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of PyTorch's own tensors
def test_sparse_gradients_step_their_rows(name):
    made = []
    for make in (ours(name.removeprefix("Sparse")), theirs(name)):
        torch.manual_seed(3)
        embedding, dense = torch.nn.Embedding(20, 4, sparse=True), torch.nn.Parameter(torch.randn(4))
        optimizer = make([embedding.weight] if name == "SparseAdam" else [embedding.weight, dense], lr=0.1)
        for k in range(5):
            optimizer.zero_grad()
            (embedding(torch.tensor([1, 5, 1, k + 6])) @ dense).pow(2).sum().backward()
            optimizer.step()
        made.append(embedding)
    np.testing.assert_allclose(made[0].weight.detach(), made[1].weight.detach(), rtol=1e-6)  # epsilon is elsewhere


def test_autograd_notices_a_step():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = gd.pytorch.SGD([p], lr=0.1)
    loss = (p**2).sum()
    p.grad = torch.ones(3)
    version = p._version
    optimizer.step()
    assert p._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("count", [1, 10])
def test_memory_that_users_replace_is_noticed(count):
    made = []
    for make in (ours("Adam"), theirs("Adam")):
        torch.manual_seed(4)
        params = [torch.nn.Parameter(torch.randn(4, 4)) for _ in range(count)]
        optimizer = make(params, lr=0.1)

        def step(params=params, optimizer=optimizer):
            for p in params:
                p.grad = torch.randn_like(p)
            optimizer.step()

        step()
        params[0].data = params[0].data.clone()
        step()
        optimizer.state[params[0]]["exp_avg"].mul_(0.5)
        step()
        optimizer.state[params[0]]["exp_avg"] = torch.ones(4, 4)
        step()
        params[0].data = params[0].data.t()
        optimizer.state[params[0]]["exp_avg"].data = torch.full((4, 4), 2.0)
        step()
        optimizer.state[params[0]]["step"].zero_()
        step()
        optimizer.state = defaultdict(dict)
        step()
        kept = optimizer.state.pop(params[0])  # as programs do that add and remove points
        params[0] = torch.nn.Parameter(params[0].detach()[:2].clone())
        kept["exp_avg"], kept["exp_avg_sq"] = kept["exp_avg"][:2].clone(), kept["exp_avg_sq"][:2].clone()
        optimizer.param_groups[0]["params"][0], optimizer.state[params[0]] = params[0], kept
        step()
        made.append(params)
    for p, q in zip(*made, strict=True):
        np.testing.assert_allclose(p.detach(), q.detach(), rtol=1e-12)


def test_hooks_closures_and_scalers_work():
    model, seen = network(), []
    optimizer = gd.pytorch.Adam(model.parameters(), lr=torch.tensor(0.01), fused=True)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), Y)
        loss.backward()
        return loss

    assert optimizer.step(closure) > optimizer.step(closure)
    assert seen == ["before", "after"] * 2
    scaler, before = torch.amp.GradScaler("cpu"), copy.deepcopy(model)
    optimizer.zero_grad()
    scaler.scale(F.mse_loss(model(X), Y)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not torch.equal(model[0].weight, before[0].weight)
    before = copy.deepcopy(model)
    model[0].weight.grad.fill_(torch.inf)
    scaler.scale(torch.ones(()))
    scaler.step(optimizer)
    assert torch.equal(model[0].weight, before[0].weight)


def test_gradients_may_share_the_memory_of_parameters():
    for count in (1, 10):
        params = [torch.nn.Parameter(torch.ones(5)) for _ in range(count)]
        optimizer = gd.pytorch.SGD(params, lr=0.5)
        for p in params:
            p.grad = p.detach()
        optimizer.step()
        assert torch.equal(params[0], torch.full((5,), 0.5))


def test_older_state_dicts_load():
    model = network()
    optimizer = gd.pytorch.Adam(model.parameters())
    train(model, optimizer, 2)
    state = copy.deepcopy(optimizer.state_dict())
    for group in state["param_groups"]:
        for flag in ("maximize", "foreach", "fused", "differentiable", "capturable", "decoupled_weight_decay"):
            del group[flag]
    for entry in state["state"].values():
        entry["step"] = entry["step"].item()
    optimizer.load_state_dict(state)
    train(model, optimizer, 1)
    assert optimizer.state[model[0].weight]["step"] == 3


def test_what_cannot_be_stepped_is_refused_and_nothing_changes():
    p, names = torch.nn.Parameter(torch.ones(3)), gd.pytorch
    for call, error, match in (
        (lambda: names.Adam([torch.ones(3, dtype=torch.complex64)]), TypeError, "got torch.complex64 .*view_as_real"),
        (lambda: names.Adam([torch.ones(3, dtype=torch.float16)]), TypeError, "bfloat16 on the CPU, got torch.float16"),
        (lambda: names.Adam([torch.ones(3, device="meta")]), TypeError, "on the CPU, got torch.float64 on meta"),
        (lambda: names.Adam(p), TypeError, "iterable"),
        (lambda: names.Adam([]), ValueError, "empty"),
        (lambda: names.Adam([p], lr=-1), ValueError, "learning rate"),
        (lambda: names.Adam([p], clip_norm=1.0), TypeError, "unexpected keyword 'clip_norm'; call torch.nn.utils"),
        (lambda: names.Adam([p], l2=1.0), TypeError, "unexpected keyword 'l2'; here it is weight_decay"),
        (lambda: names.Adam([p], l1=-1.0), ValueError, r"Adam: l1 must be in \[0, inf\), got -1.0"),
        (lambda: names.Adam([p], differentiable=True), ValueError, "differentiable must be False"),
        (lambda: names.Lion([p], nonsense=1), TypeError, "unexpected keyword 'nonsense'"),
        (lambda: names.Lion([p], state_dtype="int8"), ValueError, "state_dtype must be None or 'bfloat16'"),
        (lambda: names.Optimizer([p], "adam"), TypeError, "formula must be a class such as gd.AdamW"),
        (lambda: names.SGD([p, p.detach()[1:]]).add_param_group({"params": [p]}), ValueError, "more than one"),
    ):
        with pytest.raises(error, match=match):
            call()
    optimizer = names.Adam([p])
    for group in ({"params": [torch.ones(2, dtype=torch.int64)]}, {"params": [torch.ones(2)], "betas": (2.0, 0.5)}):
        with pytest.raises((TypeError, ValueError)):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    p.grad = torch.ones(3)
    optimizer.param_groups[0]["betas"] = (1.5, 0.9)
    with pytest.raises(ValueError, match="betas"):
        optimizer.step()
    assert torch.equal(p, torch.ones(3))


def test_memory_that_two_parameters_share_is_refused():
    base = torch.ones(4)
    params = [torch.nn.Parameter(base[:3]), torch.nn.Parameter(base[1:])]
    optimizer = gd.pytorch.SGD(params)
    for p in params:
        p.grad = torch.ones(3)
    with pytest.raises(ValueError, match="overlaps"):
        optimizer.step()


def test_importing_gd_does_not_import_torch():
    program = (
        "import sys; import gd; assert 'torch' not in sys.modules; dir(gd.pytorch); assert 'torch' not in sys.modules; "
        "sys.modules['torch'] = None\n"
        "try: gd.pytorch.AdamW\n"
        "except ImportError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "gd.pytorch.AdamW needs PyTorch, which is not installed"
