"""Every network: shapes, layouts, samples that do not see each other, time, label, gradients, saving."""

import copy
import json
import re

import pytest
import torch
from network_helpers import awake
from torch import nn

from girsanov.errors import InputError
from girsanov.networks import (
    MLP,
    NETWORKS,
    AnchoredUNet,
    Classifier,
    DiT,
    GradientOf,
    TokenConv,
    TokenTransformer,
    UNet,
    build,
)

CLASSES = 4
CASES = {
    "MLP": (lambda: MLP(3, hidden=16, classes=CLASSES), (3,), (3,)),
    "MLP, two words": (lambda: MLP(3, hidden=16, depth=1, classes=CLASSES, outputs=6), (3,), (6,)),
    "UNet": (lambda: UNet(2, width=16, classes=CLASSES), (2, 8, 8), (2, 8, 8)),
    "UNet, odd": (
        lambda: UNet(1, width=8, levels=(1, 2, 2), blocks=2, classes=CLASSES, attention=2, outputs=2),
        (1, 7, 5),
        (2, 7, 5),
    ),
    "UNet, one level": (
        lambda: UNet(1, width=16, levels=(1,), attention=0, classes=CLASSES),
        (1, 5, 4),
        (1, 5, 4),
    ),
    "DiT": (lambda: DiT((2, 4, 6), width=16, depth=2, heads=2, classes=CLASSES), (2, 4, 6), (2, 4, 6)),
    "DiT, patch 1": (
        lambda: DiT((1, 3, 3), patch=1, width=8, depth=1, heads=1, classes=CLASSES, outputs=2),
        (1, 3, 3),
        (2, 3, 3),
    ),
    "GradientOf": (lambda: GradientOf(MLP(3, hidden=16, classes=CLASSES)), (3,), (3,)),
    "AnchoredUNet": (
        lambda: AnchoredUNet(2, std=0.7, extra=1, width=16, levels=(1, 1), classes=CLASSES),
        (5, 7, 5),
        (2, 7, 5),
    ),
    "Classifier": (lambda: Classifier(2, 5, width=8), (2, 7, 6), (5,)),
}
DEFAULTS = {
    "MLP": lambda: MLP(2),
    "UNet": lambda: UNet(1, classes=10),
    "DiT": lambda: DiT((1, 8, 8)),
    "GradientOf": lambda: GradientOf(MLP(2, outputs=1)),
    "AnchoredUNet": lambda: AnchoredUNet(2),
    "Classifier": lambda: Classifier(1, 10),
    "TokenConv": lambda: TokenConv(64),
    "TokenTransformer": lambda: TokenTransformer(64, 64),
}


def inputs(event, batch=4):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(batch, *event, generator=generator, dtype=torch.float64)
    return x, torch.linspace(-3, 3, batch, dtype=torch.float64), torch.arange(batch) % CLASSES


def call(net, x, t, cond):
    return net(x, t, None if isinstance(net, Classifier) else cond)


@pytest.fixture(params=CASES, name="case")
def _case(request):
    make, event, answer = CASES[request.param]
    return awake(make()), event, answer


def check_samples_are_separate(net, event):
    x, t, cond = inputs(event)
    order = torch.tensor([2, 0, 3, 1])
    together = call(net, x, t, cond)
    torch.testing.assert_close(call(net, x[order], t[order], cond[order]), together[order])
    alone = torch.cat([call(net, x[i : i + 1], t[i : i + 1], cond[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(alone, together)


def test_every_network_is_tested():
    tested = {build(CASES[name][0]().config).config["network"] for name in CASES}
    of_tokens = {"TokenTransformer", "TokenConv"}  # test_tokens.py, test_tokenconv.py
    assert tested | of_tokens == set(NETWORKS) == set(DEFAULTS)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_shapes(case, batch):
    net, event, answer = case
    x, t, cond = inputs(event, batch)
    out = call(net, x, t, cond)
    assert out.shape == (batch, *answer)
    assert out.dtype == torch.float64
    out.sum().backward()


@pytest.mark.parametrize("name", CASES)
def test_a_fresh_network_answers_zeros(name):
    make, event, _ = CASES[name]
    x, t, cond = inputs(event)
    if name == "AnchoredUNet":  # it corrects its second input, see test_anchored.py
        x[:, 2:4] = 0
    assert call(make(), x.float(), t.float(), cond).eq(0).all()


def test_samples_do_not_see_each_other(case):
    check_samples_are_separate(*case[:2])


def test_the_separation_test_can_fail():
    class Leaky(nn.Module):
        def forward(self, x, t, cond):
            return x - x.mean(0)

    with pytest.raises(AssertionError):
        check_samples_are_separate(Leaky(), (3,))


def test_the_layout_in_memory_does_not_matter(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    expected = call(net, x, t, cond)
    strided = x.repeat_interleave(2, -1)[..., ::2]
    backward = x.flip(0).clone().flip(0)
    layouts = [strided, backward, x.transpose(0, -1).contiguous().transpose(0, -1)]
    if x.ndim == 4:
        layouts.append(x.contiguous(memory_format=torch.channels_last))
    for layout in layouts:
        torch.testing.assert_close(call(net, layout, t, cond), expected)
    one = x[:1].expand_as(x)  # stride 0
    torch.testing.assert_close(call(net, one, t, cond), call(net, one.clone(), t, cond))


def test_time_and_label_change_the_answer(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    here = call(net, x, t, cond)
    assert (call(net, x, t + 0.1, cond) - here).abs().flatten(1).amax(1).min() > 1e-4
    if not isinstance(net, Classifier):
        assert (call(net, x, t, (cond + 1) % CLASSES) - here).abs().flatten(1).amax(1).min() > 1e-4


def test_no_label_is_none_or_minus_one_or_classes(case):
    net, event, _ = case
    if isinstance(net, Classifier):
        pytest.skip("takes no labels")
    x, t, cond = inputs(event)
    absent = net(x, t)
    torch.testing.assert_close(net(x, t, torch.full_like(cond, -1)), absent)
    torch.testing.assert_close(net(x, t, torch.full_like(cond, CLASSES, dtype=torch.int32)), absent)
    assert not torch.allclose(net(x, t, cond), absent)
    mixed = net(x, t, torch.where(torch.arange(len(x)) < 2, cond, -1))
    torch.testing.assert_close(mixed[2:], absent[2:])


def test_gradient_reaches_every_parameter(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    call(net, x.requires_grad_(), t, cond).square().sum().backward()
    assert [
        name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-9
    ] == []
    assert x.grad.abs().flatten(1).amax(1).min() > 0


def test_gradient_of_x_agrees_with_finite_differences(case):
    net, event, _ = case
    x, t, cond = inputs(event, batch=1)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    (slope,) = torch.autograd.grad(call(net, x.requires_grad_(), t, cond).sum(), x)
    h = 1e-5
    with torch.no_grad():
        rise = (call(net, x + h * direction, t, cond) - call(net, x - h * direction, t, cond)).sum()
    torch.testing.assert_close((slope * direction).sum(), rise / (2 * h), rtol=1e-5, atol=1e-6)


def test_precisions(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    exact = call(net, x, t, cond)
    size = exact.square().mean().sqrt()
    net.float()
    single = call(net, x.float(), t, cond)  # a float64 time is as good as a float32 one
    assert (single - exact).abs().max() < 1e-4 * size
    with torch.autocast("cpu", torch.bfloat16):
        half = call(net, x.float(), t.float(), cond)
    half.float().sum().backward()
    assert (half - exact).square().mean().sqrt() < 0.1 * size


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_documented_number_of_parameters(name):
    net = DEFAULTS[name]()
    stated = re.search(r"([\d,]+)\s+parameters", type(net).__doc__).group(1)
    assert int(stated.replace(",", "")) == sum(p.numel() for p in net.parameters())


def test_saved_and_rebuilt(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    again = build(json.loads(json.dumps(net.config))).double()
    again.load_state_dict(net.state_dict())
    assert again.config == net.config
    assert torch.equal(call(again, x, t, cond), call(net, x, t, cond))


def test_a_copy_keeps_its_config(case):
    assert copy.deepcopy(case[0]).config == case[0].config


def test_shapes_can_be_known_without_memory(case):
    net = case[0]
    with torch.device("meta"):
        shapes = {name: w.shape for name, w in build(net.config).state_dict().items()}
    assert shapes == {name: w.shape for name, w in net.state_dict().items()}


def test_weights_are_stored_row_after_row(case):
    """Savers and flat views of all weights need this; a channels-last weight would break them."""
    assert all(p.is_contiguous() for p in case[0].parameters())


def test_wrong_shapes_are_refused(case):
    net, event, _ = case
    x, t, _ = inputs(event)
    name = type(net.scalar if isinstance(net, GradientOf) else net).__name__
    with pytest.raises(InputError, match=rf"x is \(4, 9.*this {name} takes \(B, {event[0]}"):
        net(x.new_zeros(4, 9, *event[1:]), t)
    with pytest.raises(InputError, match=f"this {name} takes"):
        net(x[0], t)
    for wrong in (t[:3], t[:, None], t[0]):
        with pytest.raises(InputError, match="give one time a sample"):
            net(x, wrong)


def test_wrong_labels_are_refused(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    if isinstance(net, Classifier):
        with pytest.raises(InputError, match="without classes"):
            net(x, t, cond)
        return
    with pytest.raises(InputError, match=f"labels from 0 to 5; give 0 to {CLASSES - 1}"):
        net(x, t, torch.tensor([0, 1, 2, 5]))
    with pytest.raises(InputError, match="labels from -2 to 2"):
        net(x, t, torch.tensor([0, 1, 2, -2]))
    for wrong in (cond.double(), cond > 1, cond[:2], cond[:, None], {"label": cond}, [cond]):
        with pytest.raises(InputError, match=r"give integer labels of shape \(4,\)"):
            net(x, t, wrong)


def test_the_global_random_state_is_left_alone(case):
    net, event, _ = case
    x, t, cond = inputs(event)
    before = torch.get_rng_state()
    build(net.config)
    call(net, x, t, cond)
    assert torch.equal(torch.get_rng_state(), before)
