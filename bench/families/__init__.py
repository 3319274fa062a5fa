"""The families of cases, one per module; `families` returns all of them."""

from . import activations, closures, gradients, lists, losses, low_bit, optimizers, tensors, training

__all__ = ["families"]


def families():
    """Return {name: family}, in the order of the report."""
    made = (
        optimizers.Optimizers(),
        lists.Lists(),
        low_bit.LowBit(),
        tensors.Tensors(),
        closures.Closures(),
        activations.Activations(),
        losses.Losses(),
        gradients.Gradients(),
        training.Training(),
    )
    return {family.name: family for family in made}
