"""Mean and spread of each voxel over time, in one pass."""

import numpy as np


class VoxelMoments:
    """Add up the voxels of a mask, block by block; a ``Reducer``.

    Sums are taken of differences from the first volume, which keeps the small
    spread of a large mean exact.

    Parameters
    ----------
    voxels : int array of shape (n_voxels,)
        Where the mask's voxels stand in a volume, ascending.
    start : int
        First volume that counts; those before are not in a steady state.
    """

    def __init__(self, voxels: np.ndarray, *, start: int = 0) -> None:
        self.n_volumes = 0
        self._voxels, self._start = voxels, start
        self._inside = np.empty((0, voxels.size), np.float32)
        self._shift = np.zeros(voxels.size, np.float32)
        self._sums = np.zeros((2, voxels.size))  # of differences, of their squares

    def update(self, block: np.ndarray, first: int) -> None:
        """Take in float32 (n, X*Y*Z) volumes, the first of index ``first``."""
        block = block[max(self._start - first, 0) :]
        if not len(block):
            return
        if len(self._inside) < len(block):
            self._inside = np.empty((len(block), self._voxels.size), np.float32)
        inside = self._inside[: len(block)]
        for volume, out in zip(block, inside, strict=True):
            np.take(volume, self._voxels, out=out, mode="clip")
        if self.n_volumes == 0:
            self._shift = inside[0].copy()
        with np.errstate(over="ignore", invalid="ignore"):
            inside -= self._shift
            self._sums[0] += inside.sum(axis=0)
            self._sums[1] += np.einsum("tv,tv->v", inside, inside)
        self.n_volumes += len(block)

    @property
    def bad(self) -> np.ndarray:
        """Indices into a volume of the voxels that were NaN or infinite once."""
        bad: np.ndarray = self._voxels[~np.isfinite(self._sums).all(axis=0)]
        return bad

    def tsnr(self) -> float | None:
        """Return the median over voxels of mean / standard deviation.

        None where no voxel varies. The divisor is n - 1.
        """
        if self.n_volumes < 2:
            return None
        total, square = self._sums
        mean = self._shift + total / self.n_volumes
        spread = np.sqrt((square - total**2 / self.n_volumes) / (self.n_volumes - 1))
        varies = spread > 1e-6 * np.abs(mean)
        return float(np.median(mean[varies] / spread[varies])) if varies.any() else None
