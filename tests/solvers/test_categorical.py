"""Categorical draws: against the probabilities, against draws without replacement, and the law of float32."""

import itertools

import pytest
import torch

from girsanov.errors import InputError, UnknownName
from girsanov.noise import Noise
from girsanov.solvers import gumbel_top_k, probabilities, sample_categorical, truncated_gumbel_law

LAW = torch.tensor([0.5, 0.0, 0.2, 0.3, 0.0], dtype=torch.float64)
N = 40_000


def frequencies(draws, classes):
    return torch.bincount(draws.flatten(), minlength=classes).double() / draws.numel()


def close(found, law, n, errors=4.5):
    return bool(((found - law).abs() <= errors * (law * (1 - law) / n).sqrt()).all())


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_frequencies_are_the_probabilities(precision):
    draws = sample_categorical(LAW.expand(N, 5), precision=precision, generator=Noise(0))
    assert draws.dtype == torch.int64 and draws.shape == (N,)
    assert close(frequencies(draws, 5), LAW, N)  # and exactly 0 where the probability is 0


def test_wrong_laws_are_told_apart():
    """The test above can fail: a law moved by two hundredths is seen."""
    draws = sample_categorical(LAW.expand(N, 5), generator=Noise(0))
    assert not close(frequencies(draws, 5), LAW + torch.tensor([0.02, 0, -0.02, 0, 0]), N)


def test_each_position_has_its_own_law_and_a_batch_its_parts():
    laws = torch.rand(6, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    laws = laws / laws.sum(-1, keepdim=True)
    whole = sample_categorical(laws, generator=Noise(3))
    parts = [sample_categorical(laws[i : i + 2], generator=Noise(3, first=i)) for i in (0, 2, 4)]
    assert torch.equal(whole, torch.cat(parts)) and whole.shape == (6, 3, 4)
    sure = torch.nn.functional.one_hot(whole, 7).double()
    assert torch.equal(sample_categorical(sure, generator=Noise(8)), whole)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda p: p.index_put_((torch.tensor(1), torch.tensor(0)), torch.tensor(0.0)), r"\(1,\) sum to 0.5"),
        (lambda p: p.index_put_((torch.tensor(2), torch.tensor(0)), torch.tensor(-0.5)), r"\(2,\) hold -0.5"),
        (lambda p: p.index_put_((torch.tensor(0), torch.tensor(1)), torch.tensor(float("nan"))), r"\(0,\)"),
        (lambda p: p.bfloat16(), "bfloat16.*probabilities"),
        (lambda p: p.long(), "int64"),
        (lambda p: p[0], "B, "),
    ],
)
def test_what_are_no_probabilities_is_refused(change, told):
    with pytest.raises(InputError, match=told):
        sample_categorical(change(torch.full((3, 2), 0.5)))
    with pytest.raises(UnknownName, match="precision"):
        sample_categorical(torch.full((3, 2), 0.5), precision="float16")


def test_logits_become_probabilities_in_float64():
    logits = torch.tensor([[0.0, -torch.inf, 40.0]])
    law = probabilities(logits)
    assert law.dtype == torch.float64 and law[0, 1] == 0
    assert float(law[0, 0]) == pytest.approx(torch.tensor(-40.0, dtype=torch.float64).exp().item(), rel=1e-12)
    with pytest.warns(UserWarning, match="bfloat16"):
        assert probabilities(logits.bfloat16()).dtype == torch.float64
    with pytest.raises(InputError, match=r"\(1,\)"):
        probabilities(torch.tensor([[0.0, 1.0], [-torch.inf, -torch.inf]]))


def test_top_k_draws_without_replacement():
    """Against the chain rule: π_a · π_b/(1 - π_a)."""
    law, n = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64), N
    found = gumbel_top_k(law.log().expand(n, 4), 2, generator=Noise(1))
    assert bool((found.perturbed[:, 0] > found.perturbed[:, 1]).all())
    codes = frequencies(4 * found.classes[:, 0] + found.classes[:, 1], 16)
    exact = torch.zeros(16, dtype=torch.float64)
    for a, b in itertools.permutations(range(4), 2):
        exact[4 * a + b] = law[a] * law[b] / (1 - law[a])
    assert close(codes, exact, n)


def test_top_k_refuses_more_than_there_are():
    with pytest.raises(InputError, match="2 classes that can be drawn"):
        gumbel_top_k(torch.tensor([[0.0, 0.0, -torch.inf]]), 3)
    with pytest.raises(InputError, match="NaN"):
        gumbel_top_k(torch.tensor([[0.0, torch.nan]]), 1)


@pytest.mark.parametrize("bits", [2, 4])
def test_truncated_law_against_a_simulated_race(bits):
    """Uniforms that end at 1 - 2^-bits, in any order of the classes."""
    law = torch.tensor([0.02, 0.5, 0.07, 0.0, 0.4, 0.01], dtype=torch.float64)
    n = 200_000
    keys = torch.rand(n, 6, generator=torch.Generator().manual_seed(bits), dtype=torch.float64)
    draws = (-(keys * (1 - 2.0**-bits)).log() / law).argmin(1)
    truncated = truncated_gumbel_law(law, bits)
    assert float(truncated.sum()) == pytest.approx(1, abs=1e-12) and truncated[3] == 0
    assert close(frequencies(draws, 6), truncated, n)
    assert not close(frequencies(draws, 6), law, n)


def test_truncated_law_of_many_bits_is_the_law():
    law = torch.rand(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    law = law / law.sum(-1, keepdim=True)
    assert torch.allclose(truncated_gumbel_law(law, 53), law, rtol=1e-9, atol=0)
    assert torch.allclose(truncated_gumbel_law(torch.full((4,), 0.25)), torch.full((4,), 0.25).double())


def test_float32_draws_have_the_truncated_law():
    """Rare classes of 2·10⁻⁷ each, 10⁹ chances for them: e^(-ε/π) of them are left."""
    rare, rows, classes = 2e-7, 20_000, 2_000
    law = torch.full((classes,), rare, dtype=torch.float64)
    law[0] = 1 - rare * (classes - 1)
    expected = float(1 - truncated_gumbel_law(law)[0]) * rows * 10
    lost = (1 - float(law[0])) * rows * 10 - expected
    found = sum(
        int(
            (
                sample_categorical(law.float().expand(rows, -1), precision="float32", generator=Noise(i)) != 0
            ).sum()
        )
        for i in range(10)
    )
    assert lost > 0 and abs(found - expected) < 4 * expected**0.5
