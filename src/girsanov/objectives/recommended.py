"""The objective that goes with a process, so that changing the process changes one word of a training.

interpolant with one random end, or of its own kind with `reverse`    score_matching()
two marginals                                                        flow_matching(); the model stores velocity
Masked                                                               masked_nelbo()
Constrained                                                          path_score_matching()
"""

from __future__ import annotations

from typing import Any

from girsanov.objectives.base import Objective
from girsanov.objectives.masked import masked_nelbo
from girsanov.objectives.matching import flow_matching, score_matching
from girsanov.objectives.paths import path_score_matching
from girsanov.processes import Constrained, Interpolant, Masked, Perturbable, need


def recommended(process: Any) -> Objective:
    """What `fit` minimizes by default on a model of this process, such as `recommended(model.process)`.

    Raises:
        Unsuitable: a process on physical time, which has nothing to be denoised.
    """
    need(process, Perturbable, "a training")
    if isinstance(process, Masked):
        return masked_nelbo()
    if isinstance(process, Constrained):
        return path_score_matching()
    two = isinstance(process, Interpolant) and process.end == "marginal"
    return flow_matching() if two else score_matching()
