"""Couplings keep the rows of x0 and, given a label, the law of x1."""

import itertools

import pytest
import torch

from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.transport import Independent, MinibatchOT, RestorationCoupling


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def squared(x0, x1):
    return float((x0 - x1).square().sum())


def test_independent_changes_nothing():
    x0, x1 = draw(5, 2), draw(5, 3, seed=1)
    assert Independent()(x0, x1, cond={"any": x0}, generator=Noise(0)) is x1


def test_minibatch_transport_is_the_best_permutation():
    x0, x1 = draw(6, 1, 2, 2), draw(6, 1, 2, 2, seed=1)
    best = min(squared(x0, x1[list(order)]) for order in itertools.permutations(range(6)))
    assert squared(x0, MinibatchOT()(x0, x1)) == pytest.approx(best, rel=1e-12)


def test_on_the_line_it_sorts():
    x0, x1 = draw(200, 1), draw(200, 1, seed=1)
    paired = MinibatchOT()(x0, x1)
    assert torch.equal(paired[x0[:, 0].argsort()], x1.sort(0).values)


def test_with_labels_it_is_the_best_permutation_inside_every_class():
    x0, x1 = draw(8, 2), draw(8, 2, seed=1)
    label = torch.tensor([3, 0, 3, 0, 0, 3, 3, 0])
    paired = MinibatchOT()(x0, x1, cond=label)
    for k in (0, 3):
        mine = label == k
        assert torch.equal(paired[mine].sort(0).values, x1[mine].sort(0).values)
        expected = MinibatchOT()(x0[mine], x1[mine])
        assert torch.equal(paired[mine], expected)


def noise_by_label(cond_given):
    """Standard scores of the mean and the mean square of the noise that label 1 sees, over many batches.

    Label 1 has data on the right, and a share of one in four.
    """
    seen = []
    for k in range(150):
        label = (torch.rand(32, generator=torch.Generator().manual_seed(k)) < 0.25).long()
        x0 = 4.0 * label[:, None] + 0.3 * draw(32, 1, seed=1000 + k)
        x1 = draw(32, 1, seed=2000 + k)
        paired = MinibatchOT()(x0, x1, cond=label if cond_given else None)
        seen.append(paired[label == 1])
    noise = torch.cat(seen)
    root_n = len(noise) ** 0.5
    return float(noise.mean()) * root_n, float(noise.square().mean() - 1) * root_n / 2**0.5


def test_given_a_label_the_noise_keeps_its_law():
    assert max(map(abs, noise_by_label(cond_given=True))) < 4


def test_transport_across_classes_would_fail_that_test():
    assert max(map(abs, noise_by_label(cond_given=False))) > 20


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_labels_of_every_integer_type_and_of_several_columns(dtype):
    x0, x1 = draw(12, 2), draw(12, 2, seed=1)
    label = torch.arange(12).remainder(2).to(dtype)
    expected = MinibatchOT()(x0, x1, cond=label.long())
    assert torch.equal(MinibatchOT()(x0, x1, cond=label), expected)
    both = torch.stack([label, label], 1)
    assert torch.equal(MinibatchOT()(x0, x1, cond=both), expected)


def test_dtype_gradient_and_global_state_are_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    x0, x1 = draw(10, 2).float(), draw(10, 2, seed=1).float().requires_grad_()
    paired = MinibatchOT()(x0, x1)
    assert paired.dtype == torch.float32
    (gradient,) = torch.autograd.grad(paired.sum(), x1)
    assert (gradient == 1).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_couplings_compare_by_value():
    assert MinibatchOT() == MinibatchOT() != Independent()


def test_bad_input_is_refused():
    x = draw(4, 2)
    bad_conds = {
        "float": torch.zeros(4),
        "dict": {"label": torch.zeros(4).long()},
        "one label for every row": torch.zeros(3).long(),
    }
    for says, cond in bad_conds.items():
        with pytest.raises(InputError, match=says):
            MinibatchOT()(x, x, cond=cond)
    for coupling in (Independent(), MinibatchOT()):
        with pytest.raises(InputError, match="x0 has 4 rows and x1 3"):
            coupling(x, draw(3, 2))
        with pytest.raises(InputError, match="x1 is not a batch"):
            coupling(x, 1.0)
    with pytest.raises(InputError, match="events of x0"):
        MinibatchOT()(x, draw(4, 3))
    with pytest.raises(InputError, match="x1 holds 1 value"):
        MinibatchOT()(x, torch.where(torch.arange(8).reshape(4, 2) == 5, torch.nan, 0.0))


def test_restoration_starts_at_the_estimate_plus_noise():
    x0, x1 = draw(400, 8), draw(400, 8, seed=1)
    assert torch.equal(RestorationCoupling(lambda y: 2 * y, 0.0)(x0, x1), 2 * x1)
    coupling = RestorationCoupling(lambda y: 2 * y, 0.3)
    noise = (coupling(x0, x1, cond={"any": x0}, generator=Noise(3)) - 2 * x1) / 0.3
    n = noise.numel()
    assert abs(float(noise.mean())) < 5 / n**0.5 and abs(float(noise.var()) - 1) < 5 * (2 / n) ** 0.5
    parts = [
        coupling(x0[:90], x1[:90], generator=Noise(3)),
        coupling(x0[90:], x1[90:], generator=Noise(3, 90)),
    ]
    torch.testing.assert_close(torch.cat(parts) - 2 * x1, 0.3 * noise)


def test_the_estimate_takes_no_gradient():
    x1 = draw(5, 2).requires_grad_()
    assert not RestorationCoupling(lambda y: 2 * y)(draw(5, 2), x1, generator=Noise(0)).requires_grad


def test_restoration_refuses_a_predictor_that_learns_and_other_bad_input():
    learning = torch.nn.Linear(2, 2)
    frozen = torch.nn.Linear(2, 3).eval().requires_grad_(False)
    for says, call in {
        "still learns": lambda: RestorationCoupling(learning),
        "freeze it": lambda: RestorationCoupling(torch.nn.Linear(2, 2).requires_grad_(False)),
        "std is -1": lambda: RestorationCoupling(frozen, -1),
        "std is nan": lambda: RestorationCoupling(frozen, float("nan")),
        "give a function": lambda: RestorationCoupling("mean"),
        "keep the shape": lambda: RestorationCoupling(frozen)(draw(4, 2).float(), draw(4, 2).float()),
        "4 rows and x1 5": lambda: RestorationCoupling(frozen)(draw(4, 2), draw(5, 2)),
    }.items():
        with pytest.raises(InputError, match=says):
            call()
