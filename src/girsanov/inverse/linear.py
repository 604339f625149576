"""Linear measurements of images and of vectors, each with its singular value decomposition.

    Identity           all of it, for noise alone             V = I
    Inpainting         the known pixels                       V = I
    BlockDownsampling  means of blocks                        V = a Haar-like rotation in each block
    CircularBlur       periodic convolution, same size        V = the Hartley transform
    MaskedFourier      chosen Fourier coefficients (MRI)      V = the Hartley transform
    Fourier            all, of images with a phase            V = I
    Colorization       the mean of the channels               V = a rotation of the channels
    DenseOperator      a matrix                               V by decomposition

The Hartley transform Re F - Im F of the orthonormal Fourier transform F is real, symmetric, orthogonal, and its own
inverse. A real filter h multiplies frequencies k and -k by conjugate numbers, so that AᵀA, which multiplies both by
|h(k)|², is diagonal in it. Of a real image a mask m of frequencies keeps the share ½(m(k) + m(-k)) of either.
Oracle: see `operators` (tests/inverse/test_operators.py).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite
from girsanov.inverse.operators import MeasurementOperator, Spectral
from girsanov.typing import Shape


class Identity(Spectral):
    """All of the signal, (B, *shape): what is left to do is to take away the noise."""

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(shape)
        self.singular_values = torch.ones(math.prod(self.shape), dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y

    def into(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        return v.reshape(-1, *self.shape)


class Inpainting(Spectral):
    """The known pixels, as a vector: y = x[known], (B, m).

    Args:
        mask: 1 or True where a pixel is known; (*shape), or broadcasting to it.
        shape: of one image, by default that of the mask.

    Raises:
        InputError: a mask that is not 0 or 1, does not broadcast, or leaves nothing known or nothing hidden.
    """

    def __init__(self, mask: Tensor, shape: Shape | None = None) -> None:
        self.shape = tuple(shape or mask.shape)
        self.known = known_pixels(mask, self.shape)
        self._where = self.known.flatten().nonzero()[:, 0]
        self.singular_values = self.known.flatten().to(torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self._where.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), self.known.numel())
        return x.index_copy(1, self._where.to(y.device), y).reshape(-1, *self.shape)

    def into(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        return v.reshape(-1, *self.shape)


class BlockDownsampling(Spectral):
    """Means of blocks of `factor` by `factor` pixels: (B, C, H, W) to (B, C, H/factor, W/factor).

    Raises:
        InputError: a size that the factor does not divide.
    """

    def __init__(self, shape: Shape, factor: int) -> None:
        require(
            len(shape) == 3 and factor >= 2 and shape[1] % factor == 0 and shape[2] % factor == 0,
            f"blocks of {factor} do not fill {tuple(shape)}; give (C, H, W) and a factor of at least 2 that divides H and W",
        )
        self.shape, self.factor = tuple(shape), factor
        size = factor**2
        mean = torch.full((size, 1), 1 / factor, dtype=torch.float64)
        # A reflection that takes the first axis to the mean: its other columns span what the mean does not see.
        v = mean - torch.eye(size, 1, dtype=torch.float64)
        self._turn = torch.eye(size, dtype=torch.float64) - 2 * v @ v.T / (v.T @ v)
        values = torch.zeros(math.prod(shape) // size, size, dtype=torch.float64)
        values[:, 0] = 1 / factor
        self.singular_values = values.flatten()

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, self.factor)

    def adjoint(self, y: Tensor) -> Tensor:
        y = y.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)
        return y / self.factor**2

    def into(self, x: Tensor) -> Tensor:
        c, h, w = self.shape
        f = self.factor
        blocks = x.reshape(-1, c, h // f, f, w // f, f).transpose(3, 4).reshape(len(x), -1, f * f)
        return (blocks @ self._turn.to(x)).flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        c, h, w = self.shape
        f = self.factor
        blocks = v.reshape(len(v), -1, f * f) @ self._turn.to(v)
        return blocks.reshape(-1, c, h // f, w // f, f, f).transpose(3, 4).reshape(-1, c, h, w)


class CircularBlur(Spectral):
    """Periodic convolution of (B, C, H, W) with a kernel, centred, the same for every channel.

    Args:
        kernel: (h, w), no larger than the image; its centre is at (h // 2, w // 2).
        shape: (C, H, W).

    Raises:
        InputError: a kernel that is larger than the image, empty, or not finite.
    """

    def __init__(self, kernel: Tensor, shape: Shape) -> None:
        require(
            len(shape) == 3
            and kernel.ndim == 2
            and kernel.shape[0] <= shape[1]
            and kernel.shape[1] <= shape[2],
            f"a kernel {tuple(kernel.shape)} does not fit on {tuple(shape)}; give (h, w) and (C, H, W)",
        )
        require_finite(kernel, "kernel")
        self.shape = tuple(shape)
        whole = torch.zeros(shape[1:], dtype=torch.float64)
        whole[: kernel.shape[0], : kernel.shape[1]] = kernel.to(torch.float64)
        whole = whole.roll((-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), (0, 1))
        self.filter = torch.fft.fft2(whole)
        self.singular_values = self.filter.abs().expand(self.shape).flatten()

    @classmethod
    def gaussian(cls, std: float, shape: Shape) -> CircularBlur:
        """A Gaussian kernel with a standard deviation in pixels, cut at three of them or at the image's size."""
        require(0 < std < math.inf, f"std is {std} pixels; give a number above 0")
        sides = [min(2 * math.ceil(3 * std) + 1, size - (size + 1) % 2) for size in shape[1:]]
        lines = [torch.exp(-0.5 * ((torch.arange(n) - n // 2) / std) ** 2) for n in sides]
        kernel = torch.outer(*lines).to(torch.float64)
        return cls(kernel / kernel.sum(), shape)

    def forward(self, x: Tensor) -> Tensor:
        return self._filtered(x, self.filter)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._filtered(y, self.filter.conj())

    def into(self, x: Tensor) -> Tensor:
        return hartley(x).flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        return hartley(v.reshape(-1, *self.shape))

    @staticmethod
    def _filtered(x: Tensor, filter: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(x) * filter.to(x.device, torch.complex(x, x).dtype)).real


class MaskedFourier(Spectral):
    """Chosen coefficients of the orthonormal Fourier transform: (B, C, H, W) real to (B, C, m, 2), real and imaginary.

    Args:
        mask: (H, W), 1 where a frequency is measured, in the order of `torch.fft.fft2` (zero first); for
            whole columns of k-space give a row (W,), which broadcasts.
        shape: (C, H, W).

    Raises:
        InputError: a mask that is not 0 or 1, does not broadcast, or keeps nothing or everything.
    """

    def __init__(self, mask: Tensor, shape: Shape) -> None:
        require(len(shape) == 3, f"shape is {tuple(shape)}; give (C, H, W)")
        self.shape = tuple(shape)
        self.mask = known_pixels(mask, self.shape[1:])
        self._where = self.mask.flatten().nonzero()[:, 0]
        chosen = self.mask.to(torch.float64)
        opposite = chosen.flip((0, 1)).roll((1, 1), (0, 1))
        self.singular_values = ((chosen + opposite) / 2).sqrt().expand(self.shape).flatten()

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(x, norm="ortho").flatten(2)
        return torch.view_as_real(spectrum[..., self._where.to(x.device)])

    def adjoint(self, y: Tensor) -> Tensor:
        chosen = torch.view_as_complex(y.contiguous())
        whole = chosen.new_zeros(*chosen.shape[:2], self.mask.numel())
        whole = whole.index_copy(2, self._where.to(y.device), chosen)
        return torch.fft.ifft2(whole.reshape(-1, *self.shape), norm="ortho").real

    def into(self, x: Tensor) -> Tensor:
        return hartley(x).flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        return hartley(v.reshape(-1, *self.shape))


class Fourier(Spectral):
    """The orthonormal Fourier transform of complex images, zero frequency first; real and imaginary part as channels.

    Args:
        shape: (2, H, W), of signals and of measurements.

    Raises:
        InputError: another number of channels.
    """

    def __init__(self, shape: Shape) -> None:
        require(
            len(shape) == 3 and shape[0] == 2,
            f"shape is {tuple(shape)}; give (2, H, W): real and imaginary part",
        )
        self.shape = tuple(shape)
        self.singular_values = torch.ones(math.prod(self.shape), dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(torch.complex(x[:, 0], x[:, 1]), norm="ortho")
        return torch.stack([spectrum.real, spectrum.imag], 1)

    def adjoint(self, y: Tensor) -> Tensor:
        image = torch.fft.ifft2(torch.complex(y[:, 0], y[:, 1]), norm="ortho")
        return torch.stack([image.real, image.imag], 1)

    def into(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        return v.reshape(-1, *self.shape)


class Colorization(Spectral):
    """The mean of the channels: (B, C, H, W) to (B, 1, H, W)."""

    def __init__(self, shape: Shape) -> None:
        require(
            len(shape) == 3 and shape[0] >= 2,
            f"shape is {tuple(shape)}; give (C, H, W) with two channels or more",
        )
        self.shape, channels = tuple(shape), shape[0]
        v = torch.full((channels, 1), channels**-0.5, dtype=torch.float64)
        v = v - torch.eye(channels, 1, dtype=torch.float64)
        self._turn = torch.eye(channels, dtype=torch.float64) - 2 * v @ v.T / (v.T @ v)
        values = torch.zeros(self.shape, dtype=torch.float64)
        values[0] = channels**-0.5
        self.singular_values = values.flatten()

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return (y / self.shape[0]).expand(-1, *self.shape)

    def into(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,cd->bdhw", x, self._turn.to(x)).flatten(1)

    def out_of(self, v: Tensor) -> Tensor:
        return torch.einsum("bchw,cd->bdhw", v.reshape(-1, *self.shape), self._turn.to(v))


class DenseOperator(Spectral):
    """A matrix: (B, *shape), flattened, to (B, *out).

    Args:
        matrix: (m, d).
        shape: of one signal, with d coordinates; (d,) by default.
        out: of one measurement, with m coordinates; (m,) by default.

    Raises:
        InputError: sizes that do not fit, NaN, or a matrix of zeros.
    """

    def __init__(self, matrix: Tensor, shape: Shape | None = None, out: Shape | None = None) -> None:
        require(matrix.ndim == 2, f"the matrix has the shape {tuple(matrix.shape)}; give (m, d)")
        require_finite(matrix, "matrix")
        require(bool((matrix != 0).any()), "the matrix is zero: it measures nothing")
        m, d = matrix.shape
        self.shape, self._out = tuple(shape or (d,)), tuple(out or (m,))
        require(
            math.prod(self.shape) == d and math.prod(self._out) == m,
            f"a matrix {m} by {d} does not take {self.shape} to {self._out}",
        )
        self.matrix = matrix.to(torch.float64)
        _, values, vh = torch.linalg.svd(self.matrix, full_matrices=True)
        self.singular_values = torch.nn.functional.pad(values, (0, d - len(values)))
        self._v = vh.T

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix.T.to(x)).reshape(-1, *self._out)

    def adjoint(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ self.matrix.to(y)).reshape(-1, *self.shape)

    def into(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self._v.to(x)

    def out_of(self, v: Tensor) -> Tensor:
        return (v @ self._v.T.to(v)).reshape(-1, *self.shape)


def dense(operator: MeasurementOperator) -> DenseOperator:
    """A small linear operator written out as a matrix, to give it a decomposition.

    Raises:
        InputError: the operator is not linear, or has more than 4,096 coordinates.
    """
    return DenseOperator(matrix_of(operator), operator.shape, operator.out_shape)


def matrix_of(operator: MeasurementOperator) -> Tensor:
    """The matrix (m, d) of a small linear operator, in float64.

    Raises:
        InputError: the operator is not linear, or has more than 4,096 coordinates.
    """
    d = math.prod(operator.shape)
    require(d <= 4096, f"the operator acts on {d} coordinates; dense writes out 4,096 at most")
    basis = torch.eye(d, dtype=torch.float64).reshape(-1, *operator.shape)
    columns = operator.forward(basis).flatten(1)
    probe = torch.linspace(-1, 2, d, dtype=torch.float64)
    straight = torch.allclose(
        operator.forward(probe.reshape(1, *operator.shape)).flatten(), probe @ columns, atol=1e-6
    )
    require(straight, "the operator is not linear: it does not add up. Only linear ones have a matrix.")
    return columns.T


def hartley(x: Tensor) -> Tensor:
    """The orthonormal Hartley transform over the last two dimensions, its own inverse."""
    spectrum = torch.fft.fft2(x, norm="ortho")
    return spectrum.real - spectrum.imag


def known_pixels(mask: Tensor, shape: Shape) -> Tensor:
    """A mask as booleans of the shape, or a refusal."""
    mask = torch.as_tensor(mask)
    wrong = mask[(mask != 0) & (mask != 1)].flatten()
    require(
        len(wrong) == 0,
        f"mask holds {wrong[0].item() if len(wrong) else ''}; give 1 where it is known and 0 where it is hidden",
    )
    try:
        known = (mask == 1).expand(shape)
    except RuntimeError as error:
        raise InputError(
            f"mask has shape {tuple(mask.shape)} and does not broadcast to {tuple(shape)}; give one of that "
            f"shape, such as {tuple(shape[-2:])}"
        ) from error
    require(not bool(known.all()), "mask marks everything as known; mark what is hidden with 0")
    require(bool(known.any()), "mask marks nothing as known; to draw without a condition use sample")
    return known
