"""Sample i is the same whatever the batch; the global random state is untouched."""

import hashlib

import numpy as np
import pytest
import torch
from oracles import ALPHA
from scipy import stats

from girsanov.errors import InputError
from girsanov.noise import Branches, Noise, as_source, block_size, normal, rademacher, uniform


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 8, 8), (3, 64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_split_of_a_batch_gives_the_same_bits(shape, dtype):
    whole = Noise(7).draw(torch.empty(150, *shape, dtype=dtype), 4)
    for cut in (1, 63, 64, 65, 149):
        parts = [
            Noise(7).draw(torch.empty(cut, *shape, dtype=dtype), 4),
            Noise(7, first=cut).draw(torch.empty(150 - cut, *shape, dtype=dtype), 4),
        ]
        assert torch.equal(whole, torch.cat(parts))
    assert Noise(7).draw(torch.empty(0, *shape), 4).shape == (0, *shape)


def test_key_parts_are_independent():
    like = torch.empty(4000, 2)
    draws = [
        Noise(0).draw(like, 0),
        Noise(1).draw(like, 0),
        Noise(0).draw(like, 1),
        Noise(0).child(1).draw(like, 0),
        Noise(0).child(1).child(0).draw(like, 0),
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 5 / 8000**0.5


@pytest.mark.parametrize("source", [Noise(3), torch.Generator().manual_seed(3)])
def test_laws(source):
    like = torch.empty(131_072, 1, dtype=torch.float64)
    source = as_source(source)
    assert stats.kstest(source.draw(like, 0, normal).numpy()[:, 0], "norm").pvalue > ALPHA
    assert stats.kstest(source.draw(like, 1, uniform).numpy()[:, 0], "uniform").pvalue > ALPHA
    signs = source.draw(like, 2, rademacher)
    assert set(signs.unique().tolist()) == {-1.0, 1.0} and abs(signs.mean()) < 5 / 131_072**0.5
    assert stats.kstest(source.draw(like, 0, uniform).numpy()[:, 0], "norm").pvalue < ALPHA


def test_global_random_state_is_untouched():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the legacy global state is what must not move
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for generator in (None, Noise(0), torch.Generator().manual_seed(0)):
        as_source(generator).draw(torch.empty(5, 5), 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_none_is_fresh_every_time():
    like = torch.empty(3, 3)
    assert not torch.equal(as_source(None).draw(like, 0), as_source(None).draw(like, 0))


def test_blocks_are_bounded():
    assert block_size(1) == 64 and block_size(3 * 64 * 64) == 1 and block_size(2**20) == 1


@pytest.mark.parametrize("bad", [3, "seed", 1.5])
def test_what_is_not_a_source_is_refused(bad):
    with pytest.raises(InputError, match="Noise"):
        as_source(bad)


def test_negative_sample_numbers_are_refused():
    with pytest.raises(InputError, match="first"):
        Noise(0, first=-1)


def test_a_stream_is_philox_under_the_hash_of_its_key():
    """The definition, by NumPy's own way of giving a key."""
    digest = hashlib.blake2b(repr((7, (2, 5), 1, 3)).encode(), digest_size=16).digest()
    stream = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    drawn = Noise(7, first=64).child(2).child(5).draw(torch.empty(64, 3), 3)
    assert np.array_equal(drawn.numpy(), stream.standard_normal((64, 3), np.float32))


def test_the_first_copy_has_the_draws_of_the_source_and_the_others_their_own():
    noise, many = Noise(3), 4
    copies = Branches(noise, 5, many).draw(torch.empty(5 * many, 2), 1).reshape(5, many, 2)
    assert torch.equal(copies[:, 0], noise.draw(torch.empty(5, 2), 1))
    assert len(copies.unique()) == copies.numel()
    tail = Branches(noise.shifted(3), 2, many).draw(torch.empty(2 * many, 2), 1).reshape(2, many, 2)
    assert torch.equal(copies[3:], tail)  # whatever the batch
    assert torch.equal(
        Branches(noise, 5, many).shifted(3).child(1).draw(torch.empty(20, 2), 1)[::many],
        noise.shifted(3).child(1).draw(torch.empty(5, 2), 1),
    )
