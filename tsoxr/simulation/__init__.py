"""Simulated JWST time series with a known answer.

`simulate` returns one product; `exposure` returns the exposure itself, from which ramps,
rates, spectra, light curves, truth and FITS files of the same observation are drawn.
The physics stands in the docstrings of `clock` (times), `scene` (light), `planet`
(transit), `detector` and `pink` (noise), `hits` (cosmic rays) and `prediction`.
"""

from __future__ import annotations

from tsoxr.simulation.builder import KINDS, Exposure, exposure, simulate
from tsoxr.simulation.noise import SETS, SOURCES
from tsoxr.simulation.setups import SETUPS

__all__ = ["KINDS", "SETS", "SETUPS", "SOURCES", "Exposure", "exposure", "simulate"]
