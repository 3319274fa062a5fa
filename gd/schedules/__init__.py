"""Learning-rate schedules: functions of the number of steps taken before, for the `lr` of any optimizer.

Pass one in place of a number, ``gd.Adam(p, lr=gd.schedules.CosineDecay(1e-3, 10_000))``. The optimizer calls it at
every step, so a step is a mini-batch. PyTorch's schedulers usually count epochs: multiply their numbers of epochs by
the number of batches in an epoch. All are PyTorch's in closed form:

==================  ==========================================  =============================================
here                PyTorch                                     Keras
==================  ==========================================  =============================================
StepDecay           StepLR                                      ExponentialDecay(staircase=True)
MultiStepDecay      MultiStepLR                                 PiecewiseConstantDecay changes one step later
ExponentialDecay    ExponentialLR                               ExponentialDecay(decay_steps=1)
InverseTimeDecay    LambdaLR                                    InverseTimeDecay(decay_steps=1)
CosineDecay         CosineAnnealingLR, which rises again after  CosineDecay, where alpha is lr_min / lr
CosineRestarts      CosineAnnealingWarmRestarts                 CosineDecayRestarts, t_mul=2 by default
PolynomialDecay     PolynomialLR, which ends at 0               PolynomialDecay, ends at 1e-4 by default
LinearWarmup        SequentialLR with LinearLR                  CosineDecay(warmup_target=...), from its initial
                                                                rate, the decay then begins
OneCycle            OneCycleLR                                  none
Piecewise           SequentialLR                                PiecewiseConstantDecay changes one step later
ReduceOnPlateau     ReduceLROnPlateau                           callback, reduces one update earlier
==================  ==========================================  =============================================
"""

from .base import Schedule, nested, scale_lr_for_batch
from .composed import LinearWarmup, OneCycle, Piecewise
from .decays import (
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    MultiStepDecay,
    PolynomialDecay,
    StepDecay,
)
from .plateau import ReduceOnPlateau

__all__ = [
    "CosineDecay", "CosineRestarts", "ExponentialDecay", "InverseTimeDecay", "LinearWarmup", "MultiStepDecay",
    "OneCycle", "Piecewise", "PolynomialDecay", "ReduceOnPlateau", "Schedule", "StepDecay", "nested",
    "scale_lr_for_batch",
]  # fmt: skip
