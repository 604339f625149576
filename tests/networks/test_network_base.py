"""Time features, labels and attention against what they must be."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.networks.base import FREQUENCIES, Attention, Embedding, fourier, labels, require_sizes


def test_time_features_are_points_on_circles():
    features = fourier(torch.linspace(-4, 4, 9))
    torch.testing.assert_close(
        features[:, :FREQUENCIES] ** 2 + features[:, FREQUENCIES:] ** 2, torch.ones(9, 16)
    )


def test_time_features_tell_small_times_apart_and_do_not_repeat():
    distance = torch.pdist(
        fourier(torch.tensor([0.0, 0.001, 0.01, 0.1, 1.0, -4.0, 4.0], dtype=torch.float64))
    )
    assert distance.min() > 0.05


def test_half_precision_times_are_not_rounded_further():
    t = torch.tensor([0.7002, 3.1], dtype=torch.bfloat16)
    torch.testing.assert_close(fourier(t), fourier(t.float()), rtol=0, atol=0)


def test_labels_on_an_accelerator_are_not_looked_at():
    """A look at values on the meta device raises, as a wait for an accelerator would be silent."""
    cond = torch.tensor([0, 7, -1], device="meta")
    assert labels(cond, 3, cond).shape == (3,)


def test_labels_of_a_network_without_classes_are_refused():
    with pytest.raises(InputError, match="built without classes"):
        Embedding(4, None)(torch.zeros(2), torch.tensor([0, 1]))


def test_attention_is_a_softmax_mean_of_values():
    layer = Attention(6, 2).double()
    tokens = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    queries, keys, values = (tokens @ w.T for w in layer.split.weight.chunk(3))
    heads = []
    for part in (slice(0, 3), slice(3, 6)):
        logits = torch.einsum("bic,bjc->bij", queries[..., part], keys[..., part]) / 3**0.5
        heads.append(torch.einsum("bij,bjc->bic", logits.softmax(-1), values[..., part]))
    expected = torch.cat(heads, -1) @ layer.merge.weight.T + layer.merge.bias
    torch.testing.assert_close(layer(tokens), expected)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="3 heads do not divide a width of 8"):
        Attention(8, 3)


@pytest.mark.parametrize("size", [0, -1, 10**30])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(InputError, match=r"MLP: width is .*; give a whole number from 1 to"):
        require_sizes("MLP", width=size)
