"""Regional means of every atlas in one pass: one gather, then sums of runs.

Voxels are grouped into cells, the voxels that lie in exactly the same regions of
all atlases, so that a volume is gathered and added up once, however many atlases.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from bidsclf.features._weights import RegionWeights

TOGETHER = 16  # volumes a matrix product; more gains little. Measured


class RegionMeans:
    """Raw signals of all regions of all atlases; a ``Reducer``.

    Parameters
    ----------
    weights : sequence of RegionWeights
        All on the grid of the image.
    n_volumes : int

    Attributes
    ----------
    means : tuple of float32 arrays of shape (n_volumes, n_regions)
        One an atlas, in the unit of the image; a region without voxels is NaN.
    n_nonfinite : int
        Values inside regions that were NaN or infinite and taken as 0, as nilearn
        takes them, summed over volumes.
    """

    def __init__(self, weights: Sequence[RegionWeights], n_volumes: int) -> None:
        self.means = tuple(
            np.full((n_volumes, len(w.coverage)), np.nan, np.float32) for w in weights
        )
        self._n_volumes = n_volumes
        self._present = [w.n_voxels > 0 for w in weights]
        parts = list(enumerate(weights))
        plain = [k for k, w in parts if w.is_mean]
        self._parts: list[tuple[_Cells | _Projection, list[int]]] = [
            (_Projection(w), [k]) for k, w in parts if not w.is_mean
        ]
        if plain:
            self._parts.append((_Cells([weights[k] for k in plain]), plain))

    @property
    def n_nonfinite(self) -> int:
        """Values that were not finite, over all volumes so far."""
        return sum(part.n_nonfinite for part, _ in self._parts)

    def update(self, block: np.ndarray, first: int) -> None:
        """Take in a block of shape (n, n_voxels) that starts at volume ``first``."""
        is_last = first + len(block) == self._n_volumes
        for part, atlases in self._parts:
            start, values = part.reduce(block, first, is_last)
            rows = slice(start, start + len(values))
            for k in atlases:
                present = self._present[k]
                self.means[k][rows, present] = values[:, : len(present)][:, present]
                values = values[:, len(present) :]


class _Cells:
    """Means over voxels, for any number of atlases, through one gather."""

    def __init__(self, weights: Sequence[RegionWeights]) -> None:
        stacked = [sparse.coo_array(w.matrix) for w in weights]
        offsets = np.cumsum([0, *(m.shape[0] for m in stacked)])
        regions = [m.row + n for m, n in zip(stacked, offsets, strict=False)]
        voxels = [w.voxels[m.col] for w, m in zip(weights, stacked, strict=True)]
        union, cell, shared = _cells(
            np.concatenate(voxels), np.concatenate(regions), int(offsets[-1])
        )
        self.voxels = union[np.argsort(cell, kind="stable")]
        self.starts = np.cumsum([0, *np.bincount(cell)[:-1]])
        n_voxels = shared.sum(axis=0)  # (n_regions,)
        mean = sparse.diags_array(1 / np.maximum(n_voxels, 1))
        self.to_regions = (shared.sign() @ mean).T.tocsr()
        self.gathered = np.empty(len(union), np.float32)
        self.n_nonfinite = 0

    def reduce(
        self, block: np.ndarray, first: int, is_last: bool
    ) -> tuple[int, np.ndarray]:
        """Return ``first`` and means (n, n_regions), atlas beside atlas."""
        sums = np.empty((len(block), len(self.starts)))
        for n, volume in enumerate(block):
            np.take(volume, self.voxels, out=self.gathered, mode="clip")
            with np.errstate(invalid="ignore"):  # inf - inf, mended below
                sums[n] = self._sums()
            if not np.isfinite(sums[n]).all():
                self.n_nonfinite += _zero_nonfinite(self.gathered)
                sums[n] = self._sums()
        return first, (self.to_regions @ sums.T).T

    def _sums(self) -> np.ndarray:
        # Pairwise sums: a float32 cell of any size keeps its digits.
        return np.add.reduceat(self.gathered, self.starts)


class _Projection:
    """Weighted sums that are no plain means: maps, and smoothed regions."""

    def __init__(self, weights: RegionWeights) -> None:
        self.voxels, self.matrix = weights.voxels, weights.matrix
        self.n_nonfinite = 0
        self._reference: np.ndarray | None = None  # (V,), the first volume
        self._held: list[np.ndarray] = []

    def reduce(
        self, block: np.ndarray, first: int, is_last: bool
    ) -> tuple[int, np.ndarray]:
        """Return the first volume and the sums (n, n_regions) of those due.

        The matrix, which no cache holds, is read once for ``TOGETHER`` volumes.
        """
        self._held.append(np.take(block, self.voxels, axis=1, mode="clip"))
        n_held = sum(map(len, self._held))
        start = first + len(block) - n_held
        if n_held < TOGETHER and not is_last:
            return start, np.empty((0, self.matrix.shape[0]))
        values = np.concatenate(self._held)
        self._held.clear()
        return start, self._sums(values)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            self.n_nonfinite += _zero_nonfinite(values)
        if self._reference is None:
            self._reference = values[0].copy()
            self._base = _precise_product(self.matrix, self._reference)
        # Sums of what differs from the first volume keep all of float32's digits
        # for the fluctuations, which are a hundredth of the signal.
        values -= self._reference
        return (self.matrix @ values.T).T + self._base


def _precise_product(
    matrix: np.ndarray | sparse.csr_array, volume: np.ndarray
) -> np.ndarray:
    """Multiply in float64 without a float64 copy of a dense matrix."""
    if sparse.issparse(matrix):
        return matrix @ volume.astype(np.float64)
    return np.einsum("rv,v->r", matrix, volume, dtype=np.float64)


def _zero_nonfinite(values: np.ndarray) -> int:
    bad = ~np.isfinite(values)
    values[bad] = 0
    return int(bad.sum())


def _cells(
    voxel: np.ndarray, region: np.ndarray, n_regions: int
) -> tuple[np.ndarray, np.ndarray, sparse.csr_array]:
    """Group voxels by the set of regions they lie in.

    Parameters
    ----------
    voxel, region : int arrays of shape (n_pairs,)
        A voxel and a region it lies in.
    n_regions : int
        Regions without voxels, the last ones among them, count too.

    Returns
    -------
    union : int array of shape (n_voxels,)
        Voxels in at least one region, sorted.
    cell : int array of shape (n_voxels,)
        Their cells, 0 ... n_cells - 1.
    shared : sparse int array of shape (n_cells, n_regions)
        Voxels of each cell in each region: all of them or none.
    """
    n_grid = int(voxel.max()) + 1
    union = np.flatnonzero(np.bincount(voxel, minlength=n_grid))
    cell_of = np.zeros(n_grid, np.int64)
    for seed in range(8):
        # The sum of random 64-bit words of its members names a set; the check
        # below makes the grouping exact whatever the words are.
        words = np.random.default_rng(seed).integers(1, 2**63, n_regions, np.uint64)
        signature = np.zeros(n_grid, np.uint64)
        np.add.at(signature, voxel, words[region])
        _, cell = np.unique(signature[union], return_inverse=True)
        cell_of[union] = cell
        shared = sparse.coo_array(
            (np.ones(len(voxel), np.int64), (cell_of[voxel], region)),
            shape=(int(cell.max()) + 1, n_regions),
        ).tocsr()
        if (shared.data == np.repeat(np.bincount(cell), np.diff(shared.indptr))).all():
            return union, cell, shared
    raise RuntimeError("eight sets of random words collided, which cannot happen")
