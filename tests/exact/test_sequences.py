"""The table of sequences: conditionals of a product are its factors, and chained they give the table back."""

import itertools

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import SequenceTable
from girsanov.processes import Masked


def table(places=3, classes=3, seed=0):
    probs = torch.rand([classes] * places, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return SequenceTable(probs.square() / probs.square().sum())


def test_conditionals_of_independent_places_are_the_factors():
    factors = torch.tensor([[0.2, 0.8], [0.7, 0.3], [0.5, 0.5]], dtype=torch.float64)
    law = SequenceTable(torch.einsum("a,b,c->abc", *factors))
    data = law.denoiser(Masked(2)).data(torch.tensor([[2, 2, 2], [1, 2, 0]]), 0.3)
    assert torch.allclose(data[0], factors)
    assert torch.equal(data[1, 0], torch.tensor([0.0, 1.0]).double()) and torch.allclose(
        data[1, 1], factors[1]
    )


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_chained_conditionals_give_the_table_back_in_any_order(order):
    law = table()
    model, x = law.denoiser(Masked(3)), law.sequences
    state, total = torch.full_like(x, 3), torch.zeros(len(x), dtype=torch.float64)
    for place in order:
        found = model.data(state, 0.5)[:, place]
        total += found.gather(1, x[:, place : place + 1])[:, 0].log()
        state[:, place] = x[:, place]
    assert torch.allclose(total, law.log_prob(x)) and torch.allclose(
        law.log_prob(x).exp().sum(), torch.tensor(1.0).double()
    )
    assert torch.equal(law.index(x), torch.arange(27))


def test_what_is_no_law_is_refused():
    with pytest.raises(InputError, match="one dimension of K values"):
        SequenceTable(torch.full((2, 3), 1 / 6))
    with pytest.raises(InputError, match="sum to 2"):
        SequenceTable(torch.full((2, 2), 0.5))
    with pytest.raises(InputError, match="must agree"):
        table().denoiser(Masked(4))


def test_an_impossible_state_has_equal_logits():
    law = SequenceTable(torch.tensor([[0.5, 0.0], [0.5, 0.0]]))
    assert torch.equal(
        law.denoiser(Masked(2)).data(torch.tensor([[2, 1]]), 0.5)[0, 0], torch.full((2,), 0.5).double()
    )
