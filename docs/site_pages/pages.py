"""Pages and pictures of the API reference, from the registries of gd."""

import inspect
import re
from importlib.util import find_spec

import numpy as np

import gd
from gd import estimators, surfaces
from gd.activations import ACTIVATIONS
from gd.bench import gallery
from gd.files.figures import new_figure, written
from gd.losses import LOSSES
from gd.optimizers import OPTIMIZERS
from gd.surfaces import SURFACES, descend

from . import docstrings

SURFACES_SHOWN, STEPS = ("ravine", "saddle"), 100
OTHERS = {  # the pages of everything else, by title
    "Optimizer": ["Optimizer"],
    "Models": ["MLP", "Head", "LinearModel", "ParameterVector"],
    "Training": ["fit", "averaged", "warmup", "EarlyStopping", "Checkpoint", "History", "GradientNorms"],
    "Gradients": [
        *("linear_model_gradient", "linear_regression_gradient", "logistic_regression_gradient"),
        *("softmax_regression_gradient", "gradient_check", "GradientCheck"),
    ],
    "Data": ["Normalizer", "one_hot", "batches.batches"],
    "Files": ["save", "load", "load_model", "Predictor", "CheckpointError"],
    "Dropout": ["dropout", "dropout_backward"],
    "Threads and profiles": ["threads", "get_threads", "profile"],
    "Several processes": ["Distributed"],
    "Rules of your own": ["optimizer", "activation", "loss", "check_rule", "Range"],
    "Math": [f"math.{name}" for name in gd.math.__all__],
    "Functional": ["functional.initial_state", "functional.function_of", "functional.adam"],
    "Minimization": ["minimize", "LBFGS"],
    "Estimators": [f"estimators.{name}" for name in estimators.__all__],
    "PyTorch": [*(["pytorch.Optimizer"] if find_spec("torch") else []), "pytorch.to_torch", "pytorch.from_torch"],
    "Search": [f"search.{name}" for name in ("narrowing_search", "Uniform", "LogUniform", "Choice")],
    "Schedules": ["scale_lr_for_batch", *(f"schedules.{name}" for name in gd.schedules.__all__)],
}
COPIED = {"SECURITY": "security", "CHANGELOG": "changes", "CONTRIBUTING": "contributing"}


def write(source):
    """Write the pages of the API and those that stand beside docs/ in the repository."""
    for name, page in COPIED.items():
        text = re.sub(r"\[([^]]*)\]\((?!http)[^)]*\)", r"\1", (source.parent / f"{name}.md").read_text())
        _replace(source / f"{page}.md", text)
    _, _, rest = (source.parent / "README.md").read_text().partition("<!-- /benchmark -->\n")
    for name, page in COPIED.items():
        rest = rest.replace(f"]({name}.md)", f"]({page}.md)")
    _replace(source / "start.md", "# Start\n" + rest.replace("](docs/", "]("))
    folder = source / "api"
    folder.mkdir(exist_ok=True)
    _draw_gallery(folder)
    groups = {
        "optimizers": [_optimizer(folder, name) for name in sorted(OPTIMIZERS)],
        "activations": [_activation(folder, name, each) for name, each in sorted(ACTIVATIONS.items())],
        "losses": [_loss(folder, name) for name in sorted(LOSSES)],
        "everything else": [_others(folder, title, names) for title, names in OTHERS.items()],
    }
    for title, pages in groups.items():
        lines = [f"- :doc:`{page}`: {_summary(page)}" for page in pages if hasattr(gd, page)]
        _page(folder, title.capitalize(), "\n".join(lines) + "\n\n" + _toctree(pages, hidden=bool(lines)))
    pages = [_file_name(title) for title in groups]
    _replace(folder / "index.rst", _heading("API reference", "=") + _toctree(pages))


def _draw_gallery(folder):
    if not (folder / "surfaces.svg").exists():
        surfaces.plot(
            {name: [descend(name, each) for each in surfaces.SHOWN] for name in SURFACES}, folder / "surfaces.svg"
        )
    if not (folder / "activations.png").exists():
        gallery.draw(folder / "activations.png")


def _optimizer(folder, name):
    picture = f"optimizer-{name}.svg"
    if not (folder / picture).exists():
        _draw_paths(folder / picture, name)
    text = f"Its path on two surfaces, {STEPS} steps; of many rates, the one that comes down furthest.\n"
    return _page(folder, name, _image(picture, f"Paths of {name}") + text + _auto("class", name))


def _draw_paths(path, name):
    figure = new_figure("pages", (8, 3.2))
    for axis, surface in zip(figure.subplots(1, 2), SURFACES_SHOWN, strict=True):
        chosen, descent = SURFACES[surface], descend(surface, name, STEPS)
        left, right, low, high = chosen.window
        x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
        heights = np.log10(chosen.value(x, y) + 1e-3)
        axis.contour(x, y, heights, 14, colors="0.75", linewidths=0.7, linestyles="solid")
        axis.plot(*descent.path.T, ".-", color="tab:blue", markersize=4, linewidth=1.2)
        axis.plot(*zip(*chosen.minima, strict=True), "*", color="tab:red", markersize=12)
        axis.set(xlim=(left, right), ylim=(low, high), title=f"${chosen.formula}$, rate {descent.lr:g}")
    written(figure, path)


def _activation(folder, name, activation):
    picture, image = f"activation-{name}.svg", ""
    if activation.elementwise:
        if not (folder / picture).exists():
            x = np.linspace(-5, 5, 1001)
            curves = {"activation": activation.forward(x), "derivative": activation.backward(np.ones_like(x), x)}
            _draw_curves(folder / picture, "x", x, curves)
        image = _image(picture, f"{name} and its derivative")
    functions = [each for each in (name, f"{name}_backward", f"{name}_backward_from_output") if hasattr(gd, each)]
    return _page(folder, name, image + "".join(_auto("function", each) for each in functions))


def _loss(folder, name):
    picture, image = f"loss-{name}.svg", ""
    function = getattr(gd, name)
    if "prediction" in inspect.signature(function).parameters:
        if not (folder / picture).exists():
            x = np.linspace(-3, 3, 601)
            value, gradient = function(x, np.ones_like(x), reduction="none")
            _draw_curves(folder / picture, "prediction; the target is 1", x, {"loss": value, "derivative": gradient})
        image = _image(picture, f"{name} and its derivative for the target 1")
    return _page(folder, name, image + _auto("function", name))


def _draw_curves(path, label, x, curves):
    figure = new_figure("pages", (5, 3))
    axis = figure.subplots()
    axis.axhline(0, color="0.85", linewidth=0.8)
    axis.axvline(0, color="0.85", linewidth=0.8)
    for (name, y), style in zip(curves.items(), ("-", "--"), strict=True):
        axis.plot(x, y, style, label=name)
    axis.set_xlabel(label)
    axis.legend(frameon=False)
    written(figure, path)


def _others(folder, title, names):
    parts = []
    for name in names:
        obj = gd
        for part in name.split("."):
            obj = getattr(obj, part)
        parts.append(_auto("class" if inspect.isclass(obj) else "function", name, whole=True))
    return _page(folder, title, "".join(parts))


def _summary(name):
    """Return the first sentence of a docstring, with a small first letter after its own name."""
    text = docstrings.plain(" ".join(inspect.getdoc(getattr(gd, name)).split("\n\n")[0].split()))
    return text.removeprefix(f"{name}: ")


def _file_name(title):
    return title.lower().replace(" ", "-")


def _page(folder, title, text):
    name = title if hasattr(gd, title) else _file_name(title)
    _replace(folder / f"{name}.rst", _heading(title, "=") + text)
    return name


def _replace(path, text):
    """Write a file unless it holds this text: Sphinx reads again what has changed."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _heading(title, line):
    return f"{title}\n{line * len(title)}\n\n"


def _image(file, text):
    return f".. image:: {file}\n   :alt: {text}\n\n"


def _auto(kind, name, whole=False):
    members = "   :members:\n" if kind == "class" and whole else ""
    return f"\n.. auto{kind}:: gd.{name}\n{members}"


def _toctree(pages, hidden=False):
    options = "   :hidden:\n" if hidden else ""
    return f".. toctree::\n   :maxdepth: 1\n{options}\n" + "".join(f"   {page}\n" for page in pages) + "\n"
