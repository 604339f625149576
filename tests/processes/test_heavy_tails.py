"""Noise of other laws: the law itself, the process that carries it, and what is refused of it."""

import math

import pytest
import torch
from oracles import ALPHA
from scipy import stats

from girsanov import Denoiser, networks, processes, sample, simulate, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise, Stable, StudentT
from girsanov.processes.saved import process_from

N = 200_000
LEVY, PFGM = processes.Levy(1.8), processes.PoissonFlow(8)


def draws(law, n=N, dim=3, seed=0, dtype=torch.float32):
    return Noise(seed).draw(torch.empty(n, dim, dtype=dtype), 0, law)


def characteristic(z, size):
    """E cos⟨ξ, z⟩ for ξ = size · e_1."""
    return float((size * z[:, 0].double()).cos().mean())


@pytest.mark.parametrize("index", [0.7, 1.2, 1.8, 2.0])
@pytest.mark.parametrize("size", [0.3, 1.0, 2.0])
def test_the_stable_law_has_its_characteristic_function(index, size):
    assert characteristic(draws(Stable(index)), size) == pytest.approx(math.exp(-(size**index)), abs=5e-3)


def test_the_stable_law_is_isotropic_and_gaussian_at_two():
    z = draws(Stable(1.5))
    tilted = z @ torch.tensor([0.6, 0.0, 0.8])
    assert characteristic(tilted[:, None], 1.0) == pytest.approx(math.exp(-1), abs=5e-3)
    assert stats.kstest(draws(Stable(2.0))[:, 0].numpy() / math.sqrt(2), "norm").pvalue > ALPHA


@pytest.mark.parametrize("df", [1, 8, 64, 1e6])
def test_the_radius_of_student_noise_is_of_fisher(df):
    radius2 = draws(StudentT(df), 20_000).double().square().sum(1) / 3
    assert stats.kstest(radius2.numpy(), stats.f(3, df).cdf).pvalue > ALPHA


@pytest.mark.parametrize("law", [Stable(1.8), StudentT(3.0)])
def test_heavy_draws_do_not_depend_on_the_batch(law):
    whole = Noise(3).draw(torch.empty(150, 2), 1, law)
    assert torch.equal(whole[70:], Noise(3, first=70).draw(torch.empty(80, 2), 1, law))


def test_the_law_of_r_at_the_start_is_beta_prime():
    """‖x‖²/(‖x‖² + r²) ~ Beta(N/2, D/2) with r = σ √D (Xu et al. 2023, appendix)."""
    x = PFGM.reference(torch.empty(20_000, 3), generator=Noise(0)).double()
    share = x.square().sum(1) / (x.square().sum(1) + (80**2) * 8)
    assert stats.kstest(share.numpy(), stats.beta(1.5, 4.0).cdf).pvalue > ALPHA


def test_student_noise_of_many_degrees_is_edm():
    many, edm = processes.PoissonFlow(10**7), processes.EDM()
    x0 = torch.full((5000, 2), 0.3)
    left, right = (p.perturb(x0, 0.5, generator=Noise(s))[0][:, 0] for p, s in ((many, 0), (edm, 1)))
    assert stats.ks_2samp(left.numpy(), right.numpy()).pvalue > ALPHA
    assert processes.PoissonFlow(math.inf) == edm


def test_alpha_two_is_the_cosine_process_with_louder_noise():
    two, cosine = processes.Levy(2.0), processes.CosineVP()
    for t in (0.1, 0.5, 0.9):
        assert two.values(t) == pytest.approx(cosine.values(t), rel=1e-12)
        assert two.rates(t) == pytest.approx(cosine.rates(t), rel=1e-10)
        assert two.time_at(two.log_snr(t)) == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize("process", [LEVY, PFGM], ids=["levy", "poisson-flow"])
def test_what_needs_a_normal_law_is_refused(process):
    model = Denoiser(networks.MLP(2, hidden=16), process, shape=(2,))
    with pytest.raises(Unsuitable, match="score"):
        model.score(torch.zeros(1, 2), 0.5)
    with pytest.raises(Unsuitable, match=r"noise|Gaussian"):
        sample(model, 2, steps=4, solver="ancestral")
    with pytest.raises(Unsuitable, match="deterministic"):
        sample(model, 2, steps=4, solver=lambda p, g: solvers.ddim(p, g, eta=0.5))
    with pytest.raises(Unsuitable, match="GaussianConditional"):
        solvers.log_likelihood(model, torch.zeros(1, 2))


def test_student_noise_has_no_paths():
    with pytest.raises(Unsuitable, match="forward equation"):
        simulate(PFGM, torch.zeros(2, 1), torch.tensor([0.0, 0.5]))


def test_saved_laws_are_checked():
    config = LEVY.to_config()
    assert process_from(config) == LEVY
    for law in ({"name": "cauchy"}, {"name": "stable", "index": "1"}, {"name": "stable", "df": 3.0}, 7):
        with pytest.raises(InputError, match="law"):
            process_from({**config, "law": law})
