"""The hidden Chow–Liu tree against enumeration, against forward-backward, and its fit."""

import itertools

import pytest
import torch

from girsanov.errors import InputError
from girsanov.inverse.circuits import HiddenChowLiuTree, fit_tree, improved, spanning_tree
from girsanov.noise import Noise, uniform

K, H = 3, 2
PARENT = torch.tensor([-1, 0, 0, 1, 1])


def tables(shape, seed):
    x = Noise(seed).draw(torch.empty(shape, dtype=torch.float64), 0, uniform) + 0.05
    return x / x.sum(-1, keepdim=True)


TREE = HiddenChowLiuTree(PARENT, tables((1, H), 1)[0], tables((5, H, H), 2), tables((5, H, K), 3))


def joint(tree):
    """p(x) of every x, by summing over all hidden states."""
    d, h, k = tree.emission.shape
    values = list(itertools.product(range(k), repeat=d))
    out = torch.zeros(len(values), dtype=torch.float64)
    for states in itertools.product(range(h), repeat=d):
        p = 1.0
        for i, above in enumerate(tree.parent.tolist()):
            p = p * (tree.start[states[i]] if above < 0 else tree.transition[i, states[above], states[i]])
        seen = torch.stack(
            [torch.stack([tree.emission[i, states[i], v[i]] for i in range(d)]).prod() for v in values]
        )
        out += p * seen
    return torch.tensor(values), out


VALUES, LAW = joint(TREE)


def test_probabilities_are_those_of_enumeration():
    torch.testing.assert_close(LAW.sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(TREE.log_prob(VALUES), LAW.log(), atol=1e-10, rtol=1e-10)


def test_marginals_under_soft_and_hard_evidence():
    w = tables((4, 5, K), 4)
    w[0, 2] = torch.tensor([0.0, 1, 0])  # known
    w[1] = 1.0  # nothing known
    weighed = torch.stack([w[:, i, VALUES[:, i]] for i in range(5)]).prod(0) * LAW
    z = weighed.sum(1)
    torch.testing.assert_close(TREE.log_prob(w), z.log(), atol=1e-10, rtol=1e-10)
    wanted = torch.stack(
        [torch.stack([weighed[:, VALUES[:, i] == v].sum(1) for v in range(K)], 1) for i in range(5)], 1
    )
    torch.testing.assert_close(TREE.marginals(w), wanted / z[:, None, None], atol=1e-10, rtol=1e-10)
    known = torch.full((1, 5), -1)
    known[0, 2] = 1
    hot = torch.ones(1, 5, K)
    hot[0, 2] = torch.tensor([0.0, 1, 0])
    torch.testing.assert_close(TREE.marginals(known), TREE.marginals(hot))


def test_draws_have_the_conditional_law():
    known = torch.tensor([[-1, 2, -1, -1, 0]]).expand(40_000, -1)
    x = TREE.sample(known, Noise(0))
    assert (x[:, 1] == 2).all() and (x[:, 4] == 0).all()
    code = (x * K ** torch.arange(5)).sum(1)
    right = (VALUES[:, 1] == 2) & (VALUES[:, 4] == 0)
    law = torch.where(right, LAW, 0.0) / LAW[right].sum()
    found = torch.stack([(code == (v * K ** torch.arange(5)).sum()).double().mean() for v in VALUES])
    assert ((found - law).abs() < 5 * (law * (1 - law) / len(x)).sqrt() + 1e-12).all()


def test_a_chain_is_a_hidden_markov_model():
    d = 6
    chain = HiddenChowLiuTree(
        torch.arange(d) - 1, tables((1, H), 5)[0], tables((d, H, H), 6), tables((d, H, K), 7)
    )
    x = torch.tensor([[0, 2, 1, 1, 0, 2]])
    forward = chain.start * chain.emission[0, :, 0]
    for i in range(1, d):
        forward = (forward @ chain.transition[i]) * chain.emission[i, :, x[0, i]]
    torch.testing.assert_close(chain.log_prob(x)[0], forward.sum().log())


def test_long_trees_do_not_underflow():
    d = 400
    chain = HiddenChowLiuTree(
        torch.arange(d) - 1, tables((1, H), 5)[0], tables((d, H, H), 6), tables((d, H, K), 7)
    )
    x = torch.zeros(2, d, dtype=torch.int64)
    assert -1e4 < float(chain.log_prob(x)[0]) < -100
    torch.testing.assert_close(chain.marginals(x).sum(2), torch.ones(2, d).double())


def test_fitting_never_loses_likelihood_and_finds_the_marginals():
    x = TREE.sample(torch.full((600, 5), -1), Noise(1))
    tree = fit_tree(x, K, hidden=3, steps=0, generator=Noise(2))
    scores = []
    for _ in range(40):
        scores.append(float(tree.log_prob(x).mean()))
        tree = improved(tree, x)
    assert all(b >= a - 1e-10 for a, b in itertools.pairwise(scores)) and scores[-1] > scores[0] + 0.05
    nothing = tree.marginals(torch.full((1, 5), -1))[0]
    torch.testing.assert_close(nothing, torch.nn.functional.one_hot(x, K).double().mean(0), atol=0.01, rtol=0)


def test_the_spanning_tree_follows_a_chain():
    steps = Noise(3).draw(torch.empty(4000, 6, dtype=torch.float64), 0).cumsum(1)
    x = (steps > 0).long()
    parent = spanning_tree(torch.nn.functional.one_hot(x, 2).double())
    assert parent.tolist() == [-1, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TREE.log_prob(torch.zeros(2, 4, dtype=torch.int64)), r"give \(B, 5\)"),
        (lambda: TREE.log_prob(torch.full((2, 5), 3)), "values from 3 to 3"),
        (lambda: TREE.log_prob(torch.zeros(2, 5, K)), "sums to 0"),
        (lambda: TREE.log_prob(torch.ones(2, 5, K + 1)), "give"),
        (
            lambda: HiddenChowLiuTree(
                torch.tensor([1, 0]), *(TREE.start,), TREE.transition[:2], TREE.emission[:2]
            ),
            "root",
        ),
        (lambda: fit_tree(torch.tensor([[0, 5]]), 3), "outside 0"),
        (lambda: fit_tree(torch.tensor([[0.5, 1.0]]), 3), "whole numbers"),
    ],
)
def test_refusals(make, says):
    with pytest.raises(InputError, match=says):
        make()
