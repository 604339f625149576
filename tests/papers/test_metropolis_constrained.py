"""The data and the network of the paper on constrained diffusion."""

import torch

from girsanov.papers.processes import metropolis_constrained as paper


def test_a_mixture_is_inside_and_not_uniform():
    for inside in paper.SPACES.values():
        x, uniform = paper.mixture(inside, 500, 0), paper.points(inside, 500, 0)
        assert x.shape == (500, inside.features) and inside.contains(x).all()
        assert not torch.equal(x, paper.mixture(inside, 500, 1))
        assert paper.distance(x, paper.mixture(inside, 500, 1)) < 0.02 < paper.distance(x, uniform)


def test_the_network_sees_the_set_at_unit_size():
    inside = paper.SPACES["simplex 10"]
    net = paper.Shifted(inside, torch.nn.Identity())
    net.net.forward = lambda x, t, cond: x
    found = net(paper.points(inside, 2000, 3), torch.zeros(2000))
    assert found.mean(0).abs().max() < 0.1 and 0.5 < found.std() < 1.1
