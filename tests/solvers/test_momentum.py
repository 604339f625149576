"""Heavy Ball and GHVB: the conditions of linear multistep methods, their bases, their stability."""

from fractions import Fraction
from functools import partial
from math import factorial

import pytest
import torch
from oracles import mixture, seeded
from test_convergence import slopes

from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError
from girsanov.solvers import grid, run
from girsanov.solvers.momentum import ghvb_weights

VP, EDM = processes.VP(), processes.EDM()


@pytest.mark.parametrize("damping", [0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_ghvb_meets_the_conditions_of_its_order_and_no_more(order, damping):
    """(1 - (1-b) S)(v_(n+1) - v_n) = δ b Σ w_j S^j E_n, tested on powers of time: an independent theory."""
    b = Fraction(damping).limit_denominator(100)
    w = [Fraction(v).limit_denominator(10**6) for v in ghvb_weights(order, float(b))]
    assert sum(w) == 1
    left = {1: Fraction(1), 0: -1 - (1 - b), -1: 1 - b}  # coefficients of v at time 1, 0, -1

    def defect(q):
        """Of v = t^q, E = q t^(q-1)."""
        value = sum(c * Fraction(n) ** q for n, c in left.items())
        slope = sum(b * v * q * Fraction(-j) ** (q - 1) for j, v in enumerate(w)) if q else 0
        return (value - slope) / factorial(q)

    assert all(defect(q) == 0 for q in range(order + 1))
    assert defect(order + 1) != 0


def test_the_weights_of_the_paper():
    b = 0.7
    assert ghvb_weights(2, b) == pytest.approx([(2 + b) / (2 * b), -(2 - b) / (2 * b)])
    three = [(18 + 5 * b) / (12 * b), -(24 - 8 * b) / (12 * b), (6 - b) / (12 * b)]
    assert ghvb_weights(3, b) == pytest.approx(three)
    four = [46 + 9 * b, -(78 - 19 * b), 42 - 5 * b, -(10 - b)]
    assert ghvb_weights(4, b) == pytest.approx([v / (24 * b) for v in four])


def test_a_worked_example():
    """GHVB 1.8 on VP, rows worked out by hand in float64."""
    plan = solvers.ghvb(VP, (1.0, 0.6, 0.3, 0.1)).recast("noise")
    found = [[(t.source, t.register, round(t.coefficient, 5)) for t in row.terms] for row in plan.rows]
    assert found == [
        [("x", 0, 1.0)],
        [("F", 0, 1.0)],
        [("X", 0, 24.63086), ("X", 1, -23.64351)],
        [("X", 1, 0.2), ("F", 2, 0.8)],
        [("X", 2, 3.88938), ("X", 3, -5.35698), ("X", 1, 2.29585)],
        [("X", 3, 0.2), ("F", 4, 0.8)],
        [("X", 4, 1.50381), ("X", 5, -1.4811), ("X", 3, 0.63476)],
    ]


BASES = [
    (partial(solvers.ghvb, order=3), partial(solvers.deis, order=3, method="ipndm")),
    (partial(solvers.ghvb, order=1), solvers.ddim),
    (partial(solvers.heavy_ball, order=1), solvers.ddim),
    (solvers.heavy_ball, partial(solvers.dpm_multistep, lower_order_final=False)),
    (partial(solvers.heavy_ball, form="noise", order=4), partial(solvers.deis, order=4, method="ipndm")),
]


@pytest.mark.parametrize("process", [VP, EDM, processes.SubVP()], ids=["VP", "EDM", "SubVP"])
@pytest.mark.parametrize("ours, base", BASES)
def test_without_momentum_it_is_its_base(ours, base, process):
    model, x = mixture().denoiser(process), torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    x, g = x * process.reference_std, grid("karras", 9)
    expected = run(base(process, g), model, x)
    torch.testing.assert_close(run(ours(process, g, damping=1.0), model, x), expected, rtol=1e-9, atol=1e-9)
    assert (run(ours(process, g, damping=0.5), model, x) - expected).abs().max() > 1e-4


@pytest.mark.parametrize("order", [2, 3, 4])
def test_ghvb_shows_its_order_on_equal_steps_in_rho(order):
    found = slopes(partial(solvers.ghvb, order=order), variable="rho", counts=(80, 160, 320))
    assert all(s > order - 0.25 for s in found), found


class Linear(AbstractDenoiser):
    """E = μx."""

    def __init__(self, rate):
        super().__init__()
        self.process, self.stored, self.rate = EDM, ("noise",), rate

    def forward(self, x, t, *, cond=None, anchor=None):
        return (self.rate * x,)


def stability_limit(solver):
    """The lowest μ at which x' = μx with step 1 does not grow, by bisection on the plan itself."""
    times = [0.9 - 0.8 * i / 300 for i in range(301)]
    step = 80 * (times[1] - times[0])
    plan, x = solver(EDM, times), torch.ones(1, 1, dtype=torch.float64)
    states = {}

    def grows(mu):
        run(plan, Linear(mu / step), x, edit=lambda row, state: states.setdefault(row.node, state))
        found = abs(states[300].item()) > abs(states[150].item())
        states.clear()
        return found

    low, high = -7.0, -0.05
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if grows(middle) else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize("b", [0.5, 0.8, 1.0])
def test_stability_limits(b):
    heavy = stability_limit(partial(solvers.heavy_ball, form="noise", order=1, damping=b))
    assert heavy == pytest.approx(-2 * (2 - b) / b, abs=1e-3)
    assert stability_limit(partial(solvers.ghvb, damping=b)) == pytest.approx(-(2 - b), abs=1e-3)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda g: solvers.ghvb(VP, g, damping=0.0), "damping"),
        (lambda g: solvers.ghvb(VP, g, damping=1.2), "damping"),
        (lambda g: solvers.ghvb(VP, g, order=6), "order"),
        (lambda g: solvers.heavy_ball(VP, g, order=3), "order"),
        (lambda g: solvers.heavy_ball(VP, g, form="score"), "form"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make(grid("karras", 5))
