"""Settings: the learning rate against its formula, and every value that makes no sense."""

import math
from itertools import pairwise

import pytest
import torch

from girsanov.errors import InputError, UnknownName
from girsanov.training import Training


def test_the_rate_rises_linearly_and_falls_as_a_cosine():
    config = Training(lr=0.2, warmup=10)
    rates = [config.rate(k, 110) for k in range(110)]
    assert rates[:10] == pytest.approx([0.02 * (k + 1) for k in range(10)])
    assert rates[60] == pytest.approx(0.1)  # half way down
    assert all(b <= a for a, b in pairwise(rates[9:]))
    assert rates[-1] < 1e-3 * 0.2


def test_the_cosine_is_that_of_torch():
    """Without warm-up it must agree with torch's own scheduler, which is computed by recursion."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for k in range(50):
        assert Training(lr=0.3, warmup=0).rate(k, 50) == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=1e-9
        )
        optimizer.step()
        scheduler.step()


def test_a_constant_rate_does_not_depend_on_the_steps():
    config = Training(schedule="constant", warmup=4)
    assert [config.rate(k, 10) for k in range(10)] == [config.rate(k, 10**6) for k in range(10)]
    assert config.rate(4, 10) == config.lr


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0}, {"batch_size": 2.5}, {"batch_size": True}, {"lr": 0.0}, {"lr": math.nan},
        {"lr": math.inf}, {"clip": 0.0}, {"clip": math.nan}, {"ema": 1.0}, {"ema": -0.1},
        {"betas": (0.9, 1.0)}, {"validation": 1.0}, {"validation": -0.1}, {"validate_every": 0},
        {"checkpoint_every": 0}, {"seed": 0.5}, {"snapshots": -1}, {"warmup": -1}, {"weight_decay": -1.0},
        {"devices": 0}, {"nodes": 0}, {"log": "tensorboard"}, {"log": (3,)},
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong)).split("[")[0]):
        Training(**wrong)


@pytest.mark.parametrize(
    "wrong, nearest",
    [({"schedule": "cosin"}, "cosine"), ({"precision": "bf61"}, "bf16"), ({"log": ("wandbb",)}, "wandb")],
)
def test_an_unknown_name_offers_the_nearest(wrong, nearest):
    with pytest.raises(UnknownName, match=f"Did you mean {nearest}"):
        Training(**wrong)
