"""What pixels do to their charge between reset and read: one integration, read by read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Pixels"]


class Pixels:
    """The pixels of one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    index : int
        Integration, from 0.
    """

    def __init__(self, exposure: Exposure, index: int) -> None:
        self._exposure, self._index = exposure, index

    def arriving(self, expected: np.ndarray, held: np.ndarray, read: int) -> np.ndarray:  # noqa: ARG002 -- the interface of what is to come
        """Return the mean charge that the pixels collect in the interval before a read.

        Parameters
        ----------
        expected : (y, x) float64
            Mean charge of light and dark current, electron; may be changed in place.
        held : (y, x) float64
            Charge that the pixels hold already.
        read : int
            Read, from 0.
        """
        return expected

    def seen(self, held: np.ndarray) -> np.ndarray:
        """Return the charge that the electronics see, (y, x) float64 electron.

        ``held`` (y, x) float64 is what the pixels hold; it is not changed.
        """
        return held
