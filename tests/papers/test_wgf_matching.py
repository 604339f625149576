"""The parts of the paper that the library's own tests do not cover."""

from girsanov.papers.processes import wgf_matching as paper


def test_both_networks_have_the_same_parameters():
    counts = [
        sum(p.numel() for p in paper.trained(0, conservative, 1).parameters())
        for conservative in (True, False)
    ]
    assert counts[0] == counts[1]


def test_the_gradient_network_is_one():
    asymmetry, _ = paper.tests_of(paper.trained(0, True, 2), 1, 0, 4)
    assert max(asymmetry) < 1e-3
