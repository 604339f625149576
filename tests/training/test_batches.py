"""Which rows a step sees: permutations, splits, parts of batches, and data that is refused."""

import pytest
import torch
from training_tools import cloud

from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.training.batches import VALIDATION, Data, Order, split


def data(n=50, batch_size=8, validation=0.0, seed=0, **rest):
    return Data.checked(
        cloud(n), rest.get("cond"), rest.get("end"), batch_size=batch_size, validation=validation, seed=seed
    )


def test_every_epoch_is_a_permutation_of_its_own():
    order = Order(torch.arange(100, 110), Noise(3))
    epochs = order.take(0, 40).reshape(4, 10)
    assert (epochs.sort(1).values == torch.arange(100, 110)).all()
    assert len({tuple(e.tolist()) for e in epochs}) == 4


@pytest.mark.parametrize("start, stop", [(0, 3), (7, 12), (5, 44), (28, 31)])
def test_any_stretch_is_part_of_the_same_sequence(start, stop):
    whole = Order(torch.arange(10), Noise(0)).take(0, 50)
    assert torch.equal(Order(torch.arange(10), Noise(0)).take(start, stop), whole[start:stop])


@pytest.mark.parametrize("batch_size", [8, 96, 160])  # smaller, between, and above the number of rows
def test_processes_share_the_batch_that_one_would_have(batch_size):
    source = data(batch_size=batch_size)
    whole = source.batch(5)
    parts = [source.batch(5, rank, 4) for rank in range(4)]
    assert torch.equal(torch.cat([p.x for p in parts]), whole.x)
    assert torch.equal(torch.cat([p.noise.draw(p.x, 0) for p in parts]), whole.noise.draw(whole.x, 0))


def test_steps_and_seeds_differ_and_are_repeated():
    first, again = data().batch(3), data().batch(3)
    assert torch.equal(first.x, again.x) and first.noise == again.noise
    for other in (data().batch(4), data(seed=1).batch(3)):
        assert not torch.equal(first.x, other.x)
        assert not torch.equal(first.noise.draw(first.x, 0), other.noise.draw(first.x, 0))


def test_held_out_rows_are_never_trained_on():
    source = data(validation=0.2)
    train, held_out = split(50, 0.2, 0)
    seen = torch.cat([source.batch(k).rows for k in range(20)])
    assert set(seen.tolist()) == set(train.tolist())
    assert set(train.tolist()) | set(held_out.tolist()) == set(range(50)) and len(held_out) == 10
    looked_at = source.probe(VALIDATION, 0, 10)
    assert torch.equal(looked_at.rows, held_out)
    part = source.probe(VALIDATION, 6, 10)
    assert torch.equal(part.noise.draw(part.x, 0), looked_at.noise.draw(looked_at.x, 0)[6:])


def test_conditions_stay_with_their_rows():
    x = cloud(50)
    cond = {"row": torch.arange(50), "x": x.clone()}
    batch = data(cond=cond, end=x + 1).batch(0)
    assert torch.equal(batch.cond["row"], batch.rows) and torch.equal(batch.cond["x"], batch.x)
    assert torch.equal(batch.end, batch.x + 1)


def test_a_second_population_of_another_size_is_paired_at_random():
    source = data(end=cloud(7, seed=5))
    partners = torch.cat([source.batch(k).end for k in range(7)])
    assert len(partners) == 56
    for row in source.end:
        assert (partners == row).all(1).sum() == 8  # each as often as the others


@pytest.mark.parametrize("n, fraction, held_out", [(1, 0.0, 0), (2, 0.01, 1), (2, 0.99, 1), (1000, 0.1, 100)])
def test_the_size_of_a_split(n, fraction, held_out):
    train, other = split(n, fraction, 0)
    assert (len(train), len(other)) == (n - held_out, held_out)


@pytest.mark.parametrize("n, fraction", [(0, 0.1), (1, 0.1), (5, 1.0), (5, -0.1), (5, float("nan"))])
def test_a_split_that_cannot_be_is_refused(n, fraction):
    with pytest.raises(InputError):
        split(n, fraction, 0)


X = cloud(6)
NAN = X.clone()
NAN[4, 1] = float("nan")


@pytest.mark.parametrize(
    "x, rest, message",
    [
        (NAN, {}, r"x holds 1 values.*\(4, 1\)"),
        (X / 0, {}, "infinite"),
        (X[:0], {}, "empty"),
        (X[:, :0], {}, "empty"),
        (X.int(), {}, "floating"),
        (torch.tensor(1.0), {}, "floating"),
        (X.numpy(), {}, "tensor"),
        (X, {"cond": torch.zeros(5)}, "cond has 5 rows and x has 6"),
        (X, {"cond": {"a": torch.zeros(6), "b": torch.zeros(7)}}, r"cond\['b'\] has 7 rows"),
        (X, {"cond": torch.tensor(1.0)}, "cond is a single number"),
        (X, {"cond": "label"}, "cond is str"),
        (X, {"cond": {}}, "cond is empty"),
        (X, {"cond": [1, 2]}, r"cond\[0\] is int"),
        (X, {"cond": NAN[:, 1]}, "cond holds 1 values"),
        (X, {"end": torch.zeros(6, 3)}, "end is"),
        (X, {"end": NAN}, "end holds 1 values"),
        (X, {"end": X[:0]}, "end is"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(x, rest, message):
    with pytest.raises(InputError, match=message):
        Data.checked(x, rest.get("cond"), rest.get("end"), batch_size=2, validation=0.0, seed=0)
