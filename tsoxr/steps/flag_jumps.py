"""Flag cosmic-ray hits by comparing each group difference with its neighbours in time.

Tests along the ramp need four groups or more and mistake non-linearity for hits. A time
series offers a better comparison: the same difference of the same pixel a moment before and
after. Two groups suffice, imperfect linearity cancels, and a transit is followed through the
light of the star.

Run it after the stripes were removed: their noise is what limits the search in faint pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, schema
from tsoxr.errors import TsoError
from tsoxr.kernels import jump_counts
from tsoxr.kernels.jump_data import Rule
from tsoxr.kernels.ramps import Readout
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _jump_plot, _jump_search, _ramps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_jumps"]

SIGMA = {"temporal": 4.45, "two_point": 4.0, "likelihood": 4.5}
"""Thresholds: 4e-6 false flags per difference of white noise; those of the STScI pipeline for the others."""

DROP = 4.0 / 3.0
"""Threshold for charge lost over that for charge gained: hits only add charge."""

WINDOW = 15, 31
"""Fewest and most integrations compared by default: with more, nothing is gained."""

WINDOW_SAMPLES = 2.5e7
"""Groups of all pixels that a window may have beyond the fewest integrations: 125 megabytes."""

GROW_SIGMA = 2.5
"""Threshold for neighbours of a hit: four of them add 2.5 % false flags to each true one."""

EXPAND = 2.0
"""Radius about large round events over their own: the halo goes on below the threshold."""


@step(
    kind="ramps",
    needs=("ramp", "dq_group", "dq_pixel"),
    adds=("flag_jumps_count", "flag_jumps_map"),
)
def flag_jumps(
    ds: xr.Dataset,
    *,
    method: str = "temporal",
    sigma: float | None = None,
    window: int | None = None,
    grow: int = 1,
    after: int = 0,
    after_integrations: int = 0,
    gain: float | xr.DataArray | None = None,
    read_noise: float | xr.DataArray | None = None,
) -> xr.Dataset:
    r"""Flag group differences that stick out from their neighbours in time.

    Each difference of two groups is compared with the same difference in the neighbouring
    integrations, scaled by the light of the star, which the step measures itself in bins of
    wavelength. All differences of a ramp together then tell by how much it has jumped.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, ``dq_group`` and ``dq_pixel``.
    method : {"temporal", "two_point", "likelihood"}
        ``"temporal"``: neighbours in time, from two groups and three integrations on. The
        others look at each integration alone: ``"two_point"`` compares with the median
        difference of the pixel [2]_, as the STScI pipeline does below 100 integrations;
        ``"likelihood"`` with a straight line [3]_, from three groups on.
    sigma : float, optional
        Threshold, standard deviations. If not given, 4.45, 4.5 with ``"likelihood"``
        and 4 with ``"two_point"``. With
        ``"temporal"`` it is for charge gained; for charge lost it is a third higher.
    window : int, optional
        Integrations compared, this one included: 15 takes seven on each side. At the ends of
        the exposure the window is moved inward; shorter exposures are compared as a whole. If not
        given, 31, or as many from 15 on as together have 25 million samples, which are held in
        memory. ``"temporal"`` only.
    grow : int
        How many pixels around a hit (up, down, left, right) are flagged too where they
        gained 2.5 sigma: charge diffuses, and what it leaves in a neighbour is part of
        the same event. Where groups average frames, this holds for the next and previous
        difference as well. With ``"two_point"``, the four neighbours of hits of 10 to 1000
        sigma are flagged, whatever they gained. About large round events (snowballs: 20 pixels
        or more) a disc of twice their radius is flagged. 0 switches all of this off.
    after : int
        Groups flagged after each hit, for detectors that relax.
    after_integrations : int
        Integrations flagged PERSISTENCE and DO_NOT_USE, in the pixel itself, after hits of 50
        sigma or more.
    gain : float or (y, x) array, optional
        electron DN-1. If not given, ``gain`` of the Dataset, else the detector's typical
        value.
    read_noise : float or (y, x) array, optional
        Noise of a single read, DN. If not given, ``read_noise`` of the Dataset, else one
        number measured from the group differences of the faintest pixels, which is added
        to the Dataset.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``JUMP_DET`` on the group in which the extra charge
        first appears. No flag is cleared, and flagged or unusable groups are neither
        tested nor compared with. Adds ``flag_jumps_count`` (time,) and ``flag_jumps_map``
        (y, x), numbers of flagged samples; ``flag_jumps_noise_ratio`` (y, x), measured
        scatter over predicted noise of the differences; ``flag_jumps_events`` (time,), number
        of connected events, and ``flag_jumps_largest`` (time, event_y, event_x), DN, a picture of
        the largest of each integration. Pixels whose noise is unknown or zero are not tested.

    Raises
    ------
    TsoError
        With fewer than three integrations and ``"temporal"``; where nothing tells the gain.
    ValueError
        For an unknown method, a threshold that is not positive, a window that is even or below
        3, or a negative ``grow``, ``after`` or ``after_integrations``.

    Notes
    -----
    Let :math:`r` be the differences of a ramp less their expectation, :math:`C` their
    covariance: photons, reads (neighbouring differences share one), and jitter, which all
    differences of a ramp share. The score :math:`(C^{-1} r)_j / \sqrt{(C^{-1})_{jj}}` is the most
    powerful test for charge in difference j. It has the amplitude over the noise of the difference
    where photons dominate, and more where reads do. The largest above the threshold is
    flagged and left out, then the rest is tested again. Noise beyond the prediction is measured
    in each pixel. The comparison in time follows [1]_. Completeness and false flags are
    measured in the documentation, page "Jumps".

    The first group of an integration has no difference before it: hits between reset and
    first group cannot be seen, and do not matter to the slope.

    References
    ----------
    .. [1] Nikolov et al. (2014), MNRAS 437, 46.
    .. [2] Anderson & Gordon (2011), PASP 123, 1237.
    .. [3] Brandt (2024), PASP 136, 045005.

    Examples
    --------
    >>> import tsoxr
    >>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=6, seed=1)
    >>> flagged = ramps.tso.flag_jumps(sigma=8.0)
    >>> flagged.flag_jumps_count.dims
    ('time',)
    """
    more = {"grow": grow, "after": after, "after_integrations": after_integrations}
    _check(ds, method, sigma, window, more)
    times = _ramps.timing(ds, "flag_jumps")
    if sigma is None:
        sigma = derived(sigma=SIGMA[method])
    if method == "likelihood" and ds.sizes["group"] < 3:
        note("two groups: a straight line fits them whatever was hit, data unchanged")
    if window is None:
        window = derived(window=_window(ds))
    known = _ramps.detector(ds, gain=gain, read_noise=read_noise, where="flag_jumps")
    rule = Rule(
        int(window), float(sigma), DROP * float(sigma), min(GROW_SIGMA, float(sigma)),
        int(grow), int(after), int(after_integrations), EXPAND if grow else 0.0,
    )  # fmt: skip
    found = _jump_search.search(ds, known, times, method, rule)
    new = {
        "dq_group": schema.label(found.flags, "ramps", "dq_group"),
        "flag_jumps_noise_ratio": found.ratio.assign_attrs(
            long_name="measured scatter / predicted noise of group differences", units="1"
        ),
        **_counts(ds, found, times),
    }
    if known.read_noise is None:
        new["read_noise"] = found.read_noise
    return ds.assign(new)


def _window(ds: xr.Dataset) -> int:
    """Return how many integrations to compare, an odd number."""
    one = ds.sizes["group"] * ds.sizes["y"] * ds.sizes["x"]
    fewest, most = WINDOW
    return int(min(max(int(WINDOW_SAMPLES / one), fewest), most) - 1) // 2 * 2 + 1


def _check(
    ds: xr.Dataset, method: str, sigma: float | None, window: int | None, more: dict[str, float]
) -> None:
    if method not in SIGMA:
        raise ValueError(
            f"flag_jumps: method is {method!r}; it takes {', '.join(map(repr, SIGMA))}; "
            "use method='temporal'"
        )
    if (sigma is not None and not sigma > 0) or any(not v >= 0 for v in more.values()):
        given = ", ".join(f"{k}={v}" for k, v in {"sigma": sigma, **more}.items())
        raise ValueError(f"flag_jumps: {given}; sigma must be positive, the others 0 or more")
    if window is not None and (window < 3 or window % 2 == 0):
        raise ValueError(
            f"flag_jumps: window is {window}; it must be an odd number of integrations from 3"
        )
    if method == "temporal" and ds.sizes["time"] < 3:
        raise TsoError(
            f"flag_jumps: there are {ds.sizes['time']} integrations; the comparison in time needs 3 or "
            "more; use method='likelihood', which looks along each ramp, or open the whole exposure"
        )


@dataclass(frozen=True)
class _Counted:
    """What was flagged in a chunk: numbers, and pictures; numpy in and out."""

    times: Readout

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ramp, before, after, rate, _ = arrays
        place = jump_counts.new_places(before, after)
        cube, usual = ramp.reshape(*ramp.shape[:2], -1), np.nan_to_num(rate.ravel())
        count = jump_counts.count_new(place, ramp.shape)
        width = int(ramp.shape[3])
        return count, jump_counts.largest_events(cube, place, usual, self.times.interval, width)


def _counts(ds: xr.Dataset, found: _jump_search.Found, times: Readout) -> dict[str, xr.DataArray]:
    """Return numbers of flagged samples and of events, and a picture of each largest event."""
    dims, size = ("time", *_ramps.GROUP_DIMS), jump_counts.STAMP
    items = xr.DataArray(np.zeros(jump_counts.HEAD + size**2, "u1"), dims="item")
    count, table = chunks.per_chunk(
        _Counted(times),
        *(a.transpose(*dims) for a in (ds["ramp"], ds["dq_group"], found.flags)),
        found.rate.transpose("y", "x"),
        items,
        dims=(("time", "y", "x"), ("time", "item")),
        dtypes=("u2", "f4"),
    )
    events = table.isel(item=0, drop=True).astype("i4")
    picture = table.isel(item=slice(jump_counts.HEAD, None))
    largest = xr.DataArray(
        picture.data.reshape(-1, size, size), dims=("time", "event_y", "event_x")
    )
    return {
        "flag_jumps_count": _total(count, ("y", "x"), "flagged samples of the integration"),
        "flag_jumps_map": _total(count, ("time",), "flagged samples of the pixel"),
        "flag_jumps_events": events.assign_attrs(
            long_name="connected events of the integration", units="1"
        ),
        "flag_jumps_largest": largest.assign_attrs(
            long_name="charge of the largest event of the integration", units="DN"
        ),
    }


def _total(count: xr.DataArray, dims: tuple[str, ...], long_name: str) -> xr.DataArray:
    return count.sum(dims, dtype="i4").assign_attrs(long_name=long_name, units="1")


@diagnostic(flag_jumps)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes | dict[str, Axes]:
    """Draw the hits in time, where on the detector they lie, and the largest of them.

    Hits come at a known rate, between the bands of solar minimum and maximum, and are spread
    evenly over detector and time. A trace that shows in the map, or a transit in the curve,
    means that the threshold is too low for the noise.
    """
    return _jump_plot.draw(ds, ax)
