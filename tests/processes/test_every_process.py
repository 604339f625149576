"""Every process of `battery`: its law at five times, its reverse by exact answers, what it learns, what it refuses."""

import pytest
import torch
from battery import BATTERY
from process_laws import driven_law, has_law, has_noise

from girsanov import Denoiser, Noise, load, objectives, processes, sample, save
from girsanov.errors import InputError
from girsanov.processes.saved import KINDS, process_from

ROUGH = pytest.mark.filterwarnings("ignore:.*memories")
REVERSIBLE = [name for name, line in BATTERY.items() if line.kind.reverse]
LEARNED = [name for name, line in BATTERY.items() if line.kind.learn]


@ROUGH
@pytest.mark.parametrize("name", BATTERY)
def test_the_law_at_five_times(name):
    BATTERY[name].kind.law(BATTERY[name].process)


@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_reverse_recovers_the_data(name):
    BATTERY[name].kind.reverse(BATTERY[name].process)


@pytest.mark.parametrize("name", LEARNED)
def test_it_learns_is_saved_and_sampled(name, tmp_path):
    """Another word in place of the process, and the rest of a training as it is."""
    process = BATTERY[name].process
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, x, end = BATTERY[name].kind.learn(process)
    model = Denoiser(network, process, shape=tuple(x.shape[1:]), **storage(process))
    loss = objectives.recommended(process)(model, x, end=end, generator=Noise(0))
    loss.sum().backward()
    assert loss.shape == (64,) and loss.isfinite().all()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.parameters())
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.process == process == process_from(process.to_config())
    found, part = (
        sample(m, 5, steps=6, seed=0, anchor=None if end is None else end[:5], batch_size=size)
        for m, size in ((model, 256), (again, 2))
    )
    torch.testing.assert_close(found, part)


def storage(process):
    """Between two sets of data the velocity is all that a network learns."""
    two = isinstance(process, processes.Interpolant) and process.end == "marginal"
    return {"predicts": "velocity", "data_std": None} if two else {}


@ROUGH
@pytest.mark.parametrize("name", BATTERY)
def test_bad_parameters_are_refused(name):
    for given in BATTERY[name].bad:
        with pytest.raises(InputError):
            BATTERY[name].make(**given) if isinstance(given, dict) else BATTERY[name].make(*given)


def test_every_process_has_its_line():
    """What can be saved, simulated by name, trained by name or has a constructor of its own."""
    made = {line.make for line in BATTERY.values()}
    kinds = tuple(type(line.process) for line in BATTERY.values())
    assert set(processes.PROCESSES.values()) | set(processes.SIMULATORS.values()) <= made
    assert all(kind in kinds for kind in (*KINDS.values(), processes.SE3Diffusion))


def test_the_laws_can_fail():
    """A schedule that is louder by a fiftieth, and draws that are narrower."""

    class Louder(type(processes.VP().schedule)):
        def values(self, t):
            alpha, beta, gamma = super().values(t)
            return alpha, beta, 1.02 * gamma

    class Wrong(processes.Interpolant):
        def transition(self, s, t):
            step = super().transition(s, t)
            return step._replace(std=1.05 * step.std)

    with pytest.raises(AssertionError):
        driven_law(Wrong(Louder()))
    z = Noise(0).draw(torch.empty(20_000, 1).double(), 0)
    for wrong in (0.9 * z, z + 0.1):
        with pytest.raises(AssertionError):
            has_noise(wrong, processes.VP().law)
        with pytest.raises(AssertionError):
            has_law(wrong, z)


def test_a_reverse_can_fail():
    """Louder noise in the reverse of VP than its forward process has."""
    line = BATTERY["VP"]
    with pytest.raises(AssertionError):
        line.kind.reverse(Bent(line.process.schedule))


class Bent(processes.Interpolant):
    """Starts from too much noise."""

    def perturb(self, x0, t, *, end=None, generator=None):
        x, z = super().perturb(x0, t, end=end, generator=generator)
        return 1.2 * x, z
