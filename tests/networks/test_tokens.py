"""The transformer over tokens: symmetric in its places, sure of nothing at first, rebuilt by name."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.networks import TokenTransformer, build

X = torch.randint(0, 6, (3, 8), generator=torch.Generator().manual_seed(0))
T = torch.tensor([0.1, 0.5, 0.9])


def network(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = TokenTransformer(5, 8, width=16, depth=2, heads=2, **options)
        torch.nn.init.normal_(made.head.weight)
    return made


def test_without_places_it_commutes_with_permutations():
    made, order = network(), torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    with torch.no_grad():
        assert not torch.allclose(made(X[:, order], T), made(X, T)[:, order], atol=1e-4)
        made.places.zero_()
        assert torch.allclose(made(X[:, order], T), made(X, T)[:, order], atol=1e-5)


def test_time_matters_only_where_it_is_asked_for():
    assert torch.equal(network()(X, T), network()(X, T.flip(0)))
    timed = network(timed=True)
    assert not torch.allclose(timed(X, T), timed(X, T.flip(0)), atol=1e-4)


def test_a_fresh_one_answers_zeros_and_is_rebuilt_from_its_config():
    made = TokenTransformer(5, 8, width=16, depth=1, heads=2, timed=True)
    assert torch.equal(made(X, T), torch.zeros(3, 8, 5))
    again = build(made.config)
    assert again.config == made.config
    again.load_state_dict(made.state_dict())


def test_matrices_are_read_row_by_row():
    made = network()
    assert torch.equal(made(X.reshape(3, 2, 4), T), made(X, T).reshape(3, 2, 4, 5))


@pytest.mark.parametrize("x", [torch.zeros(3, 8), torch.zeros(3, 7, dtype=torch.int64)])
def test_other_inputs_are_refused(x):
    with pytest.raises(InputError, match="8 places"):
        network()(x, T)
    with pytest.raises(InputError, match="labels"):
        network()(X, T, torch.tensor([1, 2, 3]))
