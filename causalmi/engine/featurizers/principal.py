"""In which directions do the numbers at a place vary most? Principal components, with what they leave out kept."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.constants import Kept
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.featurizers.linear import basis_of
from causalmi.errors import DataError
from causalmi.spec.basis import Basis


@dataclass(frozen=True, eq=False)
class _Affine(Featurizer):
    """Coordinates of (x - mean) / scale along orthonormal ``columns`` V, [width, size]; the rest is what they leave."""

    mean: Float[Tensor, " width"]
    scale: Float[Tensor, " width"]
    columns: Float[Tensor, "width size"]
    linear = True
    _kept: Kept = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kept", Kept(mean=self.mean, scale=self.scale, columns=self.columns))

    @property
    def width(self) -> int:  # type: ignore[override]
        return int(self.columns.shape[0])

    @property
    def size(self) -> int:  # type: ignore[override]
        return int(self.columns.shape[1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.width} -> {self.size})"

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor]:
        own = self._kept.at(x)
        z = (x - own["mean"]) / own["scale"]
        features = z @ own["columns"]
        return features, z - features @ own["columns"].T

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Tensor:
        assert rest is not None  # encode gives it
        own = self._kept.at(features)
        return own["mean"] + own["scale"] * (features @ own["columns"].T + rest)


class PCA(_Affine):
    """Principal components: f = (x - mean) V, and the rest x - mean - f V^T, so that nothing is lost.

    An interchange of features is one along their directions. Made by :meth:`of`.
    """

    @classmethod
    def of(cls, x: Tensor, dims: int | None = None) -> "PCA":
        """Of vectors ``x`` [n, width], by decreasing variance; the first ``dims``, or as many as vary at all.

        The entry of each direction that is largest in size is positive. Raises DataError for what is no such matrix of
        finite numbers, and for more dims than vary.

        >>> PCA.of(torch.tensor([[0.0, 2.0, 0.0], [0.0, 4.0, 1.0], [0.0, 6.0, 0.0]]), dims=1)
        PCA(3 -> 1)
        """
        numbers = _matrix(x)
        mean = numbers.mean(0)
        return cls(mean, torch.ones_like(mean), _directions(numbers - mean, dims))

    @property
    def basis(self) -> Basis:
        """The principal directions."""
        return basis_of(self.columns)


class StandardisedPCA(_Affine):
    """Principal components of numbers of variance 1: z = (x - mean) / deviation, f = z V, the rest z - f V^T.

    What is learned of standardised numbers is applied to standardised numbers and undone again. A number that never
    changes is left undivided. Made by :meth:`of`.
    """

    @classmethod
    def of(cls, x: Tensor, dims: int | None = None) -> "StandardisedPCA":
        """Of vectors ``x`` [n, width], as :meth:`PCA.of`; raises DataError as that does.

        >>> StandardisedPCA.of(torch.tensor([[7.0, 2.0, 0.0], [7.0, 4.0, 1.0], [7.0, 6.0, 0.0]]))
        StandardisedPCA(3 -> 2)
        """
        numbers = _matrix(x)
        mean, scale = numbers.mean(0), numbers.std(0, correction=0)
        still = scale <= torch.finfo(numbers.dtype).eps * len(numbers) * numbers.abs().amax(0)
        scale = torch.where(still, torch.ones_like(scale), scale)
        return cls(mean, scale, _directions(torch.where(still, 0.0, (numbers - mean) / scale), dims))


def _matrix(x: Tensor) -> Float[Tensor, "n width"]:
    """The vectors in float64; raises DataError for none, or for what is no matrix of numbers."""
    if not isinstance(x, Tensor) or x.ndim != 2 or len(x) < 2:
        given = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise DataError(f"principal components are of vectors [n, width], at least 2, and {given} is given")
    numbers = x.detach().double()
    if not bool(numbers.isfinite().all()):
        raise DataError("there are NaN or infinite numbers in the vectors; principal components need finite ones")
    return numbers


def _directions(centred: Float[Tensor, "n width"], dims: int | None) -> Float[Tensor, "width dims"]:
    """Orthonormal directions by decreasing variance."""
    _, lengths, rows = torch.linalg.svd(centred, full_matrices=False)
    least = lengths[:1] * max(centred.shape) * torch.finfo(centred.dtype).eps
    vary = int((lengths > least).sum())
    if vary == 0:
        raise DataError("all the vectors are the same, so they vary in no direction")
    if dims is not None and (type(dims) is not int or not 1 <= dims <= vary):
        raise DataError(f"dims is {dims!r}; give a whole number from 1 to {vary}, the directions in which they vary")
    rows = rows[: vary if dims is None else dims]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    columns: Tensor = (rows * largest.sign()).T.contiguous()
    return columns
