"""Simulated JWST time series with a known answer.

`simulate` returns one product; `exposure` returns the exposure itself, from which ramps,
rates, spectra, light curves, truth and FITS files of the same observation are drawn.
`simulate_tree` and `exposures` do so for several detectors that look at the same transit.
`inject_transit` and `inject_hits` add known signals to data that exist, real ones too.
The physics stands in the docstrings of `clock` (times), `scene` (light), `planet` and
`system` (transit and eclipse), `events`, `telescope`, `real_frame`, `detector` and `pink`
(noise), `hits` (cosmic rays), `prediction` and `injected_transit`.
"""

from __future__ import annotations

from tsoxr.simulation.builder import Exposure
from tsoxr.simulation.entry import KINDS, exposure, simulate
from tsoxr.simulation.events import AntennaMove, Flare, Spot, Tilt
from tsoxr.simulation.injected_hits import inject_hits
from tsoxr.simulation.injected_transit import inject_transit
from tsoxr.simulation.noise import SETS, SOURCES
from tsoxr.simulation.setups import SETUPS
from tsoxr.simulation.telescope import Telescope
from tsoxr.simulation.together import exposures, simulate_tree

__all__ = [
    "KINDS",
    "SETS",
    "SETUPS",
    "SOURCES",
    "AntennaMove",
    "Exposure",
    "Flare",
    "Spot",
    "Telescope",
    "Tilt",
    "exposure",
    "exposures",
    "inject_hits",
    "inject_transit",
    "simulate",
    "simulate_tree",
]
