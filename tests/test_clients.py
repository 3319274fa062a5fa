"""Other programs with gd as their optimizer: the recipes of docs/clients.md, and Thinc's entry points.

They run where a client is installed: the extra `clients`.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import gd

PAGE = (Path(gd.__file__).parent.parent / "docs" / "clients.md").read_text()


def recipe(*titles):
    """Return the names that the recipes under some titles define."""
    names = {"gd": gd, "np": np}
    for title in titles:
        (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
        for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
            exec(block, names)
    return names


def test_scipy():
    names = recipe("SciPy")
    np.testing.assert_allclose(names["found"].x, names["target"], atol=1e-6)
    np.testing.assert_allclose(names["same"].x, names["target"], atol=1e-3)


# --- Thinc and spaCy

THINC = """
[optimizer]
@optimizers = "{name}"
learn_rate = 0.002
L2 = {L2}
grad_clip = 1.0
use_averages = true
"""


@pytest.fixture
def resolved():
    """Return a function that makes an optimizer from a configuration, by its entry point."""
    thinc = pytest.importorskip("thinc.api")
    from thinc.config import registry as known

    if not known.optimizers.get_entry_point("gd.Adam.v1"):
        pytest.skip("gd is not installed, so it has no entry points")
    return lambda name, L2=0.0: thinc.registry.resolve(thinc.Config().from_str(THINC.format(name=name, L2=L2)))[
        "optimizer"
    ]


def test_every_optimizer_is_an_entry_point_of_thinc():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(gd.__file__).parent.parent / "pyproject.toml").read_text())["project"]
    expected = {f"gd.{name}.v1": f"gd.thinc:{name}" for name in gd.optimizers.one_by_one()}
    assert project["entry-points"]["thinc_optimizers"] == expected


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_steps_and_averages_are_those_of_thinc(name, resolved, rng):
    ours, theirs = resolved(f"gd.{name}.v1"), resolved(f"{name}.v1")
    a = {"W": rng.standard_normal((30, 20)).astype(np.float32), "b": np.zeros(20, np.float32)}
    b = {key: each.copy() for key, each in a.items()}
    for _ in range(20):
        for key in a:
            g = rng.standard_normal(a[key].shape).astype(np.float32)
            h = g.copy()
            a[key], g = ours((0, key), a[key], g)
            b[key], _ = theirs((0, key), b[key], h)
            assert not g.any()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(ours.averages[0, key], theirs.averages[0, key], rtol=1e-5, atol=2e-6)


def test_every_optimizer_steps_in_thincs_protocol(rng):
    pytest.importorskip("thinc")
    from gd import thinc

    for name in gd.optimizers.one_by_one():
        optimizer, W = getattr(thinc, name)(), rng.standard_normal((4, 3)).astype(np.float32).T
        before = W.copy()
        for _ in range(3):
            moved, g = optimizer((1, "W"), W, np.ones_like(W))
        assert moved is W, name
        assert (before > W).any(), name
        assert not g.any(), name
        assert optimizer.nr_update[1, "W"] == 3
        assert optimizer.averages[1, "W"].strides == W.strides
        assert np.isfinite(optimizer.averages[1, "W"]).all()


def test_schedules_lr_scale_and_empty_gradients():
    pytest.importorskip("thinc")
    from gd import thinc

    optimizer = thinc.SGD(learn_rate=[0.1, 0.2], L2=iter([0.0, 0.5]), grad_clip=0.0, use_averages=False)
    w = np.ones(2)
    optimizer((0, "w"), w, np.ones(2), lr_scale=0.5)
    np.testing.assert_allclose(w, 0.95)
    for _ in range(3):
        optimizer.step_schedules()
    assert (optimizer.learn_rate, optimizer.L2) == (0.2, 0.5)
    optimizer((0, "w"), w, np.ones(2))
    np.testing.assert_allclose(w, 0.95 * 0.9 - 0.2)
    optimizer.learn_rate = 0.0
    optimizer((0, "w"), w, np.ones(2))
    np.testing.assert_allclose(w, 0.95 * 0.9 - 0.2)
    assert optimizer((0, "none"), np.ones(0), np.ones(0))[0].size == 0
    with pytest.raises(TypeError, match="SGD: unexpected keyword 'beta1'"):
        thinc.SGD(beta1=0.9)
    etas = thinc.Rprop(etas=[0.4, 1.3])
    assert etas.etas == (0.4, 1.3)


def test_spacy_trains_from_a_configuration_file(resolved, tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train
    from spacy.util import load_config

    nlp, docs = spacy.blank("en"), DocBin()
    for k in range(40):
        doc = nlp.make_doc(f"this is a {'good fine' if k % 2 else 'bad poor'} film {k}")
        doc.cats = {"POSITIVE": float(k % 2), "NEGATIVE": float(1 - k % 2)}
        docs.add(doc)
    docs.to_disk(tmp_path / "data.spacy")
    section = re.search(r"```ini\n(.*?)```", PAGE, re.DOTALL)[1]
    text = f"""
[paths]
train = "{tmp_path / "data.spacy"}"
dev = "{tmp_path / "data.spacy"}"

[nlp]
lang = "en"
pipeline = ["textcat"]

[components]

[components.textcat]
factory = "textcat"

[components.textcat.model]
@architectures = "spacy.TextCatBOW.v3"
exclusive_classes = true
ngram_size = 1
no_output_layer = false
length = 4096

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${{paths.train}}

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${{paths.dev}}

[training]
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"
max_steps = 40
eval_frequency = 20
seed = 0

{section}
"""
    (tmp_path / "config.cfg").write_text(text)
    config = spacy.Language.default_config.merge(load_config(tmp_path / "config.cfg"))  # as `spacy init fill-config`
    nlp = init_nlp(config)
    (tmp_path / "out").mkdir()
    nlp, path = train(nlp, tmp_path / "out")
    assert path is not None
    best = spacy.load(tmp_path / "out" / "model-best")
    assert best("a good fine film").cats["POSITIVE"] > 0.5 > best("a bad poor film").cats["POSITIVE"]


# --- Flower


def replied(arrays, n):
    """Return a client's answer."""
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    record = ArrayRecord({name: Array(each) for name, each in arrays.items()})
    content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": n})})
    return Message(content, dst_node_id=1, message_type="train")


def rounds(strategy, start, clients, number=3):
    """Return the arrays after some rounds in which each client adds its own change."""
    from flwr.app import Array, ArrayRecord, ConfigRecord

    strategy.fraction_train = 0.0  # nobody is asked, the answers are made here
    arrays = ArrayRecord({name: Array(each) for name, each in start.items()})
    for k in range(1, number + 1):
        strategy.configure_train(k, arrays, ConfigRecord(), None)
        now = {name: array.numpy() for name, array in arrays.items()}
        replies = [replied({x: (v + change[x]).astype(v.dtype) for x, v in now.items()}, n) for change, n in clients]
        arrays, _ = strategy.aggregate_train(k, replies)
    return {name: array.numpy() for name, array in arrays.items()}


FLOWER = {
    "FedAdam": ({"beta_1": 0.9, "beta_2": 0.99}, gd.Adam, {"betas": (0.9, 0.99), "eps_hat": True}),
    "FedYogi": (
        {"beta_1": 0.9, "beta_2": 0.99},
        gd.Yogi,
        {"betas": (0.9, 0.99), "bias_correction": False, "initial_accumulator_value": 0.0},
    ),
    "FedAdagrad": ({}, gd.Adagrad, {}),
    "FedAvgM": ({"server_momentum": 0.9, "server_learning_rate": 0.1}, gd.SGD, {"momentum": 0.9}),
}


@pytest.mark.parametrize("name", FLOWER)
def test_flower_strategies_are_those_of_flower(name, rng):
    strategies = pytest.importorskip("flwr.serverapp.strategy")
    theirs, optimizer, ours = FLOWER[name]
    own = {} if name == "FedAvgM" else {"eps": 1e-3}
    theirs = theirs | ({} if name == "FedAvgM" else {"eta": 0.1, "tau": 1e-3})
    start = {"W": rng.standard_normal((4, 3)).astype(np.float32), "b": rng.standard_normal(3)}
    clients = [({k: rng.normal(0, 0.1, v.shape) for k, v in start.items()}, n) for n in (10, 30)]

    def make(params):
        made = optimizer(params, lr=0.1, **ours, **own)
        if name == "FedAdam":
            made.load_state_dict(made.state_dict() | {"steps": 1})
        return made

    expected = rounds(getattr(strategies, name)(**theirs), start, clients)
    counter = {"count": np.array([5, 7])}
    counting = [(change | {"count": np.array([2, 2])}, n) for change, n in clients]
    found = rounds(recipe("Flower")["FedOpt"](make), start | counter, counting)
    for key in start:
        assert found[key].dtype == start[key].dtype
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-6)
    assert found["count"].dtype == np.int64
    assert found["count"].tolist() == [11, 13]


# --- pyribs, JAX, autograd


def test_pyribs_emitters_take_it(rng):
    ribs = pytest.importorskip("ribs")
    from ribs.archives import GridArchive
    from ribs.emitters import GradientArborescenceEmitter
    from ribs.emitters.opt import AdamOpt
    from ribs.schedulers import Scheduler

    assert ribs
    Ascent = recipe("pyribs")["Ascent"]
    ours, theirs = Ascent(np.ones(10), 0.1, eps_hat=True), AdamOpt(np.ones(10), 0.1)
    for _ in range(20):
        g = rng.standard_normal(10)
        ours.step(g)
        theirs.step(g)
    np.testing.assert_allclose(ours.theta, theirs.theta, rtol=1e-9)
    found = []
    for keywords in ({"grad_opt": Ascent, "grad_opt_kwargs": {"eps_hat": True}}, {"grad_opt": "adam"}):
        archive = GridArchive(solution_dim=4, dims=[8, 8], ranges=[(-2, 2)] * 2, seed=0)
        emitter = GradientArborescenceEmitter(
            archive, x0=np.full(4, 0.5), sigma0=0.5, lr=0.1, batch_size=8, seed=0, **keywords
        )
        scheduler = Scheduler(archive, [emitter])
        for _ in range(10):
            for ask, is_dqd in ((scheduler.ask_dqd, True), (scheduler.ask, False)):
                solutions = ask()
                objective, measures = -(solutions**2).sum(axis=1), solutions[:, :2]
                if is_dqd:
                    jacobian = np.zeros((len(solutions), 3, 4))
                    jacobian[:, 0], jacobian[:, 1, 0], jacobian[:, 2, 1] = -2 * solutions, 1, 1
                    scheduler.tell_dqd(objective, measures, jacobian)
                else:
                    scheduler.tell(objective, measures)
        found.append(archive.stats.obj_max)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_jax_trains_a_nested_tree():
    jax = pytest.importorskip("jax")
    names = recipe("JAX")
    assert names["value"] < 0.05
    gradient = names["grads"]["hidden"]["W"]
    assert np.shares_memory(np.asarray(gradient), np.asarray(gradient))  # no copy, so neither for gd
    assert jax.tree.leaves(names["params"])[0] is names["optimizer"].params[0]


def test_autograd():
    pytest.importorskip("autograd")
    names = recipe("HIPS autograd")
    np.testing.assert_allclose(names["valley"].x, 1, atol=1e-3)
    np.testing.assert_allclose(names["tree"]["b"][0], 3, atol=1e-2)
    np.testing.assert_array_equal(names["tree"]["a"], 1)
