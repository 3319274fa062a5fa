# Written by `python tests/stubs.py`: do not edit.

from .base import ANY as ANY
from .base import COUNTS as COUNTS
from .base import Loss as Loss
from .base import PROBABILITIES as PROBABILITIES
from .base import check_distributions as check_distributions
from .base import is_distribution as is_distribution
from .base import rates as rates
from .base import total as total
from .cross_entropy import softmax_cross_entropy as softmax_cross_entropy
from .custom import loss as loss
from .functions import ALIASES as ALIASES
from .functions import LOSSES as LOSSES
from .functions import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .functions import check_loss as check_loss
from .functions import epsilon_insensitive as epsilon_insensitive
from .functions import hinge as hinge
from .functions import huber as huber
from .functions import kl_divergence as kl_divergence
from .functions import mae as mae
from .functions import mse as mse
from .functions import poisson as poisson
from .functions import quantile as quantile
from .functions import smooth_l1 as smooth_l1
from .functions import squared_hinge as squared_hinge
from .scores import r_squared as r_squared
from .functions import public_functions as public_functions
