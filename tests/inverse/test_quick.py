"""Draws in one call are those of `posterior`."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import Gaussian
from girsanov.inverse import DPS, SMC, DenseOperator, Measurement, PiGDM, dps, pigdm, posterior, smc
from girsanov.processes import VP

A = DenseOperator(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]))
MODEL = Gaussian(torch.zeros(3), 1.0).denoiser(VP())
Y = torch.tensor([[0.3, -0.2], [1.0, 0.5]])


@pytest.mark.parametrize(("call", "sampler"), [(dps, DPS(8)), (pigdm, PiGDM(8)), (smc, SMC(8))])
def test_it_is_posterior(call, sampler):
    wanted = posterior(MODEL, Measurement(A, Y, 0.2), 5, sampler=sampler, seed=3)
    found = call(MODEL, A, Y, n=5, noise=0.2, steps=8, seed=3)
    assert torch.equal(found.x, wanted.x) and found.calls == 8
    one = call(MODEL, A, Y[0], n=5, noise=0.2, steps=8, seed=3)
    torch.testing.assert_close(one.x, wanted.x[:1])


def test_refusals():
    with pytest.raises(InputError, match="y has the shape"):
        dps(MODEL, A, torch.zeros(3))
