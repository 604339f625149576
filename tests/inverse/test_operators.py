"""Every operator: adjoint, pseudo-inverse, proximal map and decomposition by their definitions."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.inverse import (
    BlockDownsampling,
    CircularBlur,
    ClippedRange,
    Colorization,
    DenseOperator,
    DifferentiableForwardModel,
    Fourier,
    Identity,
    Inpainting,
    Linear,
    MaskedFourier,
    PhaseRetrieval,
    Spectral,
    dense,
)
from girsanov.noise import Noise

SHAPE = (3, 6, 8)


def draw(shape, seed=0, n=4):
    return Noise(seed).draw(torch.empty(n, *shape, dtype=torch.float64), 0)


def some_mask(shape, seed=0):
    return draw(shape, seed, 1)[0] > 0


def columns(width):
    return torch.tensor([i % 3 != 1 for i in range(width)])


SPECTRAL = {
    "identity": Identity(SHAPE),
    "inpainting": Inpainting(some_mask(SHAPE)),
    "inpainting, all channels": Inpainting(some_mask((6, 8)), SHAPE),
    "blocks": BlockDownsampling(SHAPE, 2),
    "blur": CircularBlur(draw((3, 5), 1, 1)[0], SHAPE),
    "Gaussian blur": CircularBlur.gaussian(1.0, SHAPE),
    "Fourier": MaskedFourier(some_mask((6, 8), 2), SHAPE),
    "Fourier columns": MaskedFourier(columns(8), SHAPE),
    "Fourier, complex": Fourier((2, 6, 8)),
    "grey": Colorization(SHAPE),
    "wide matrix": DenseOperator(draw((5, 3 * 6 * 8), 3, 1)[0], SHAPE),
    "tall matrix": DenseOperator(draw((12, 7), 4, 1)[0]),
    "matrix of low rank": DenseOperator(draw((6, 2), 5, 1)[0] @ draw((2, 7), 6, 1)[0]),
    "written out": dense(BlockDownsampling((1, 4, 4), 2)),
}
LINEAR = SPECTRAL | {
    "blur, then blocks": BlockDownsampling(SHAPE, 2) @ CircularBlur.gaussian(0.7, SHAPE),
    "blocks, then pixels": Inpainting(some_mask((3, 3, 4), 9)) @ BlockDownsampling(SHAPE, 2),
}


def dot(a, b):
    return (a * b).flatten(1).sum(1)


@pytest.mark.parametrize("name", LINEAR)
def test_adjoint_pseudo_inverse_and_proximal_map(name):
    a = LINEAR[name]
    x, y = draw(a.shape), draw(a.out_shape, 1)
    torch.testing.assert_close(dot(a(x), y), dot(x, a.adjoint(y)))
    torch.testing.assert_close(a(a.pinv(a(x))), a(x), atol=1e-6, rtol=1e-6)
    shortest = a.pinv(a(x))  # A⁺A is a projection: orthogonal to what it leaves
    torch.testing.assert_close(dot(shortest, x - shortest), torch.zeros(4).double(), atol=1e-5, rtol=0)
    u = a.prox(x, y, 0.3)
    gradient = a.adjoint(a(u) - y) + 0.3 * (u - x)
    torch.testing.assert_close(gradient, torch.zeros_like(u), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SPECTRAL)
def test_decomposition(name):
    a = SPECTRAL[name]
    x, y = draw(a.shape), draw(a.out_shape, 1)
    assert isinstance(a, Spectral)
    s = a.singular_values
    v = a.into(x)
    assert v.shape == (4, math.prod(a.shape)) == (4, len(s))
    torch.testing.assert_close(a.out_of(v), x)
    torch.testing.assert_close(dot(v, v), dot(x, x))
    torch.testing.assert_close(a.out_of(s**2 * v), a.adjoint(a(x)))
    torch.testing.assert_close(a.coordinates(a(x)), s * v, atol=1e-9, rtol=1e-6)
    # Uᵀ is orthonormal where something is measured: U Uᵀ projects y on the range.
    torch.testing.assert_close(dot(a.coordinates(y), a.coordinates(a(x))), dot(y, a(x)))


@pytest.mark.parametrize("name", [*LINEAR])
def test_the_matrix_is_the_operator(name):
    a = LINEAR[name]
    x = draw(a.shape)
    matrix = dense(a)
    torch.testing.assert_close(matrix(x), a(x))
    torch.testing.assert_close(matrix.pinv(a(x)), a.pinv(a(x)), atol=1e-5, rtol=1e-5)


def test_blur_is_the_convolution_by_hand():
    kernel = torch.tensor([[0.0, 0, 0], [0, 0, 1.0], [0, 0, 0]])  # an impulse right of the centre: a shift
    x = draw((1, 4, 5))
    torch.testing.assert_close(CircularBlur(kernel, (1, 4, 5))(x), x.roll(1, -1))


def test_fourier_coefficients_are_those_of_the_transform():
    mask = columns(8).expand(6, 8)
    x = draw((1, 6, 8))
    spectrum = torch.fft.fft2(x, norm="ortho")[:, :, mask]
    torch.testing.assert_close(torch.view_as_complex(MaskedFourier(columns(8), (1, 6, 8))(x)), spectrum)


def test_complex_images_have_the_coefficients_of_the_transform():
    x = draw((2, 6, 8))
    real, imaginary = Fourier((2, 6, 8))(x).unbind(1)
    torch.testing.assert_close(
        torch.complex(real, imaginary), torch.fft.fft2(x[:, 0] + 1j * x[:, 1], norm="ortho")
    )


def test_compositions_keep_what_they_can():
    clip = ClippedRange((3, 3, 4)) @ BlockDownsampling(SHAPE, 2)
    x = draw(SHAPE)
    torch.testing.assert_close(clip(x), (2 * BlockDownsampling(SHAPE, 2)(x)).clamp(-1, 1))
    assert not isinstance(clip, Linear)
    with pytest.raises(InputError, match="the inner operator gives"):
        BlockDownsampling((1, 4, 4), 2) @ Inpainting(some_mask(SHAPE))


def test_moduli_do_not_see_shifts_of_the_field():
    a = PhaseRetrieval((1, 4, 4), oversampling=2)
    x = draw((1, 4, 4))
    torch.testing.assert_close(a(x), a(-x))
    assert a(x).shape == (4, 1, 8, 8)
    zero = torch.zeros(1, 1, 4, 4, requires_grad=True)
    a(zero).sum().backward()
    assert zero.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Inpainting(torch.ones(4)), "everything as known"),
        (lambda: Inpainting(torch.zeros(4)), "nothing as known"),
        (lambda: Inpainting(torch.tensor([0.0, 0.5])), "mask holds 0.5"),
        (lambda: Inpainting(torch.tensor([0.0, 1.0]), (3,)), "does not broadcast"),
        (lambda: BlockDownsampling((1, 5, 4), 2), "do not fill"),
        (lambda: CircularBlur(torch.ones(9, 9), (1, 4, 4)), "does not fit"),
        (lambda: CircularBlur(torch.tensor([[math.nan]]), (1, 4, 4)), "kernel"),
        (lambda: CircularBlur.gaussian(0.0, (1, 4, 4)), "above 0"),
        (lambda: MaskedFourier(torch.ones(4), (1, 4, 4)), "everything"),
        (lambda: Fourier((1, 4, 4)), "real and imaginary"),
        (lambda: Colorization((1, 4, 4)), "two channels"),
        (lambda: DenseOperator(torch.zeros(2, 2)), "measures nothing"),
        (lambda: DenseOperator(torch.ones(2, 4), (3,)), "does not take"),
        (lambda: dense(ClippedRange((4,))), "not linear"),
        (lambda: ClippedRange((4,), low=1.0, high=0.0), "low < high"),
        (lambda: PhaseRetrieval((1, 4, 4), oversampling=0.5), "at least 1"),
        (lambda: DifferentiableForwardModel(lambda x: x.detach(), (4,)), "no gradient"),
        (lambda: DifferentiableForwardModel(lambda x: x.sum(), (4,)), "(B, "),
        (lambda: Colorization(SHAPE)(torch.ones(2, 3, 4, 4)), "this operator measures"),
    ],
)
def test_refusals(make, says):
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        make()
