"""The law of strings with motifs, against sums over all short strings."""

import itertools

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers import motifs


def test_the_denoiser_and_the_likelihood_are_those_of_all_strings_added_up():
    """Hidden paths and strings of four places, one by one."""
    model, length = motifs.MotifDenoiser(4), 4
    moves, emits = motifs.chain()
    words = torch.tensor(list(itertools.product(range(4), repeat=length)))
    paths = torch.tensor(list(itertools.product(range(len(moves)), repeat=length)))
    prior = moves[0][paths[:, 0]] * (moves[paths[:, :-1], paths[:, 1:]]).prod(1)
    paths, prior = paths[prior > 0], prior[prior > 0]
    law = torch.stack([(prior * emits[paths, word].prod(1)).sum() for word in words])
    assert float(law.sum()) == pytest.approx(1)
    assert torch.allclose(model.log_prob(words), law.log())
    x = torch.tensor([[4, 1, 4, 4], [3, 4, 3, 4], [4, 4, 4, 4]])
    found = model.data(x, 0.5)
    for row, state in zip(found, x):
        weight = law * ((words == state) | (state == 4)).all(1)
        for i in range(length):
            expected = torch.stack([weight[words[:, i] == k].sum() for k in range(4)]) / weight.sum()
            assert torch.allclose(row[i].double(), expected)


def test_the_reward_counts_hits_and_knows_the_spacing():
    filler = "A" * 50

    def place(*found):
        text = list(filler)
        for word, at in found:
            text[at : at + len(word)] = word
        return motifs.letters("".join(text))

    near, far = place(("TATAAT", 5), ("GGCCGC", 17)), place(("TATAAT", 5), ("GGCCGC", 30))
    one_wrong = place(("GGCCGT", 20))
    assert motifs.reward(torch.stack([near, far, one_wrong, place()])).tolist() == [4, 2, 1, 0]


def test_strings_have_motifs_more_often_than_chance():
    x = motifs.strings(motifs.MotifDenoiser(), 200, Noise(0))
    chance = motifs.reward(torch.randint(4, (5000, 50), generator=torch.Generator().manual_seed(0)))
    assert float(motifs.reward(x).mean()) > float(chance.mean()) + 0.5
