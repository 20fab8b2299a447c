"""Flag the light of other stars that a frame through another filter shows.

Slitless spectra lie among images of whatever else is in the field. Under the target's spectrum
they cannot be told from it, but in an exposure through a filter that cuts most of the spectrum
away, such as F277W of NIRISS SOSS, they stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.errors import TsoError
from tsoxr.kernels import contaminants as kernel
from tsoxr.lazy import static_from_sample
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_contaminants"]

IMAGES = ("mask", "light", "judged")


@step(kind="rates", needs=("rate", "rate_error", "dq"))
def flag_contaminants(
    ds: xr.Dataset,
    frame: xr.Dataset | xr.DataArray | None = None,
    *,
    positions: Sequence[tuple[float, float]] = (),
    size: tuple[float, float] = (5.0, 14.0),
    sigma: float = 5.0,
    n_pixels: int = 10,
    grow: int = 1,
    least_share: float = 0.03,
    exclude: bool = True,
) -> xr.Dataset:
    """Flag pixels that hold light of other stars.

    Sources are sought in ``frame``, an exposure of the same visit through a filter that cuts most
    of the target's spectrum away, as clusters that stand out of the smooth light along the
    dispersion; or their places are given. No rate is changed.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``.
    frame : xarray.Dataset or xarray.DataArray, optional
        Rates of the other exposure, whose median frame is taken and brought to the pixels of
        ``ds``; or an image (y, x) of the size of the frames of ``ds``, DN s-1, NaN where it is
        not known.
    positions : sequence of (float, float), optional
        Places (x, y) of further sources, pixels of the subarray from 0.
    size : (float, float)
        Half the extent of those along x and y, pixels; a star in zeroth order of SOSS is a bar
        of 4 by 22 pixels with a halo.
    sigma : float
        Threshold in robust standard deviations of the smoothed frame.
    n_pixels : int
        Smallest cluster of pixels above it; hot pixels are smaller.
    grow : int
        Pixels by which each cluster is widened.
    least_share : float
        Light of a source in ``frame`` below this share of the median rate of a pixel is left:
        it dilutes a depth by that share of it, times how much brighter it is in the filter of
        ``ds`` (about 2.2 for CLEAR and F277W). A lower one takes more pixels of the spectrum.
    exclude : bool
        Take the pixels out of use (DO_NOT_USE) as well. Extraction then goes on with those that
        are left of their wavelengths.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq`` gains OTHER_BAD_PIXEL and, with ``exclude``, DO_NOT_USE, in all
        integrations. Adds ``flag_contaminants_mask`` (y, x) uint8, 1 for the light of a source,
        ``flag_contaminants_light`` (y, x), what stands out in ``frame``, and
        ``flag_contaminants_judged`` (y, x) uint8, 0 where nothing could be sought: under the
        target's own spectrum in ``frame``, and where that has no data. Without ``frame`` and
        ``positions`` the data are unchanged, with a note.

    Raises
    ------
    ValueError
        For a frame of another size or no overlap, or a number out of range.

    Notes
    -----
    There is no flag of the JWST table for contamination; OTHER_BAD_PIXEL is its catch-all. On a
    real visit (WASP-39, NIRISS) 25 sources are found in the F277W frame, and those that lie off
    the spectra stand out of the CLEAR frame as well. In three simulated exposures 57 wavelengths
    of order 1 are diluted by 1.7 % rms; with the default 45 of them stay in use, diluted by 0.3 to 0.5 %
    with errors larger by 15 %; with ``least_share=0.01`` 34, with errors larger by half.

    The level of the spectrum (not the light curve) is off where a star covers much of the profile
    at all times: 28 % rms at those wavelengths, 2 to 3 % with `replace_bad_pixels` and
    ``extract(use_replaced=True)``.

    Positions from a catalogue of the field are not made here: where zeroth order falls relative
    to the undeviated star is in no header. Give them as ``positions`` if you have them.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("niriss-soss", kind="rates", n_integrations=3, seed=1)
    >>> other = tsoxr.simulate("niriss-soss", kind="rates", n_integrations=3, seed=2, filter="F277W")
    >>> done = rates.tso.flag_contaminants(other)
    >>> bool(done.flag_contaminants_mask[35, 1899])
    True
    """
    _check(sigma, n_pixels, grow, least_share, size, positions)
    if frame is None and not len(positions):
        note("neither another frame nor positions are given: data unchanged")
        return ds
    field = _field(ds, frame)
    given = {"sigma": float(sigma), "n_pixels": int(n_pixels), "grow": int(grow)}
    by_hand = _boxes(ds, positions, size)
    turned = ds.attrs["dispersion_dim"] == "y"

    def search(image: np.ndarray, median: np.ndarray, boxes: np.ndarray, _: np.ndarray) -> Any:
        seen = image.T if turned else image
        found = kernel.compact_sources(seen.astype(np.float64), **given)
        mask, light, judged = (
            a.T if turned else a for a in (found.mask, found.light, found.judged)
        )
        with np.errstate(invalid="ignore"):
            matters = ~(light < least_share * median)
        return np.stack([(mask & matters) | (boxes > 0), light, judged])

    parts = xr.DataArray(np.zeros(len(IMAGES)), dims="image")
    median = _rates.median_frame(ds).drop_vars(["y", "x"], errors="ignore")
    found = static_from_sample(
        search, field, median, by_hand, parts, dims=("image", "y", "x"), dtype="f4"
    )
    mask = found.isel(image=0, drop=True) > 0.5
    names = ("OTHER_BAD_PIXEL", "DO_NOT_USE") if exclude else ("OTHER_BAD_PIXEL",)
    return ds.assign(
        dq=dq.set_flag(ds["dq"], mask, *names),
        flag_contaminants_mask=_image(mask.astype("u1"), "light of another source", "1"),
        flag_contaminants_light=_image(
            found.isel(image=1, drop=True), "light that stands out", "DN s-1"
        ),
        flag_contaminants_judged=_image(
            found.isel(image=2, drop=True).astype("u1"), "sources were sought here", "1"
        ),
    )


def _check(sigma: float, n_pixels: int, grow: int, share: float, size: Any, positions: Any) -> None:
    if not (sigma > 0 and n_pixels >= 1 and grow >= 0 and share >= 0):
        raise ValueError(
            f"flag_contaminants: sigma={sigma}, n_pixels={n_pixels}, grow={grow}, least_share={share}; "
            "sigma must be positive, n_pixels at least 1, the others not negative"
        )
    places = np.asarray(positions, dtype=float)
    if places.size and (places.ndim != 2 or places.shape[1] != 2 or not np.isfinite(places).all()):
        raise ValueError(
            f"flag_contaminants: positions have the shape {places.shape}; give pairs (x, y) of pixels"
        )
    if np.shape(size) != (2,) or not min(size) > 0:
        raise ValueError(
            f"flag_contaminants: size={size}; give half the extent along x and y, pixels above 0"
        )


def _field(ds: xr.Dataset, frame: Any) -> xr.DataArray:
    """Return the frame of the field on the pixels of the data, (y, x), NaN where it is not known."""
    shape = {"y": ds.sizes["y"], "x": ds.sizes["x"]}
    if frame is None:
        return xr.DataArray(np.full(tuple(shape.values()), np.nan), dims=("y", "x"))
    if isinstance(frame, xr.Dataset):
        median = _rates.median_frame(frame)
        index = {d: _places(ds, d) - _places(frame, d)[0] for d in ("y", "x")}
        inside = {d: (i >= 0) & (i < frame.sizes[d]) for d, i in index.items()}
        if not all(i.any() for i in inside.values()):
            raise ValueError(
                "flag_contaminants: the frame and the data have no pixels in common "
                f"(frame {frame.attrs.get('subarray')}, data {ds.attrs.get('subarray')}); give an exposure "
                "of the same part of the detector"
            )
        known = xr.DataArray(inside["y"], dims="y") & xr.DataArray(inside["x"], dims="x")
        there = {d: np.clip(i, 0, frame.sizes[d] - 1) for d, i in index.items()}
        return median.drop_vars(["y", "x"], errors="ignore").isel(there).where(known)
    if not isinstance(frame, xr.DataArray) or dict(frame.sizes) != shape:
        found = dict(frame.sizes) if isinstance(frame, xr.DataArray) else type(frame).__name__
        raise ValueError(
            f"flag_contaminants: frame is {found}; give rates of another exposure or a DataArray with sizes {shape}"
        )
    return xr.DataArray(frame.transpose("y", "x").data, dims=("y", "x"))


def _places(ds: xr.Dataset, dim: str) -> np.ndarray:
    """Return the positions of the pixels on the full detector."""
    own = ds[dim].values if dim in ds.coords else np.arange(ds.sizes[dim])
    return np.asarray(own).astype(np.int64) + int(ds.attrs.get(f"{dim}_start", 1))


def _boxes(ds: xr.Dataset, positions: Any, size: tuple[float, float]) -> xr.DataArray:
    """Return 1 within ``size`` of the positions, (y, x) uint8."""
    out = np.zeros((ds.sizes["y"], ds.sizes["x"]), np.uint8)
    y, x = (ds[d].values if d in ds.coords else np.arange(ds.sizes[d]) for d in ("y", "x"))
    for place in np.asarray(positions, dtype=float).reshape(-1, 2):
        along_x, along_y = np.abs(x - place[0]) <= size[0], np.abs(y - place[1]) <= size[1]
        out |= along_y[:, None] & along_x[None, :]
    return xr.DataArray(out, dims=("y", "x"))


def _count(mask: np.ndarray) -> int:
    from scipy.ndimage import label

    return int(label(mask, structure=kernel.TOUCHING)[1])


def _image(array: xr.DataArray, long_name: str, units: str) -> xr.DataArray:
    return array.drop_attrs().assign_attrs(long_name=long_name, units=units)


@diagnostic(flag_contaminants)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the median rate with the outlines of what was flagged; without ``ax`` also the sources.

    Sources off the spectrum should be seen in both. In grey parts of the lower panel nothing could
    be sought.
    """
    if "flag_contaminants_mask" not in ds:
        raise TsoError(
            "plot.flag_contaminants: nothing was sought; give .tso.flag_contaminants() another frame"
        )
    below = None
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, below) = plt.subplots(2, 1, figsize=(8.0, 4.8), layout="constrained", sharex=True)
    x, y = (np.asarray(ds[d]) if d in ds.coords else np.arange(ds.sizes[d]) for d in ("x", "y"))
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    mask = np.asarray(ds["flag_contaminants_mask"].transpose("y", "x"))
    unflagged = ds.assign(dq=ds["dq"] & ~(dq.bits("DO_NOT_USE") * ds["flag_contaminants_mask"]))
    median = np.asarray(_rates.median_frame(unflagged).transpose("y", "x"))
    style.image(ax, median, extent=extent, label=style.label_of(ds["rate"], "median rate"))
    ax.set(
        ylabel="y [pix]",
        title=f"{100 * mask.mean():.2g} % of the pixels flagged, in {_count(mask)} pieces",
    )
    panels = [ax]
    if below is not None:
        light = np.asarray(ds["flag_contaminants_light"].transpose("y", "x"))
        judged = np.asarray(ds["flag_contaminants_judged"].transpose("y", "x")) > 0
        shown = np.where(judged, light, np.nan)
        below.set_facecolor("0.6")
        style.image(below, shown, extent=extent, label="light that stands out")
        panels.append(below)
    for panel in panels:
        if mask.any():
            panel.contour(x, y, mask, levels=[0.5], colors=style.COLORS["bad"], linewidths=0.8)
    panels[-1].set_xlabel("x [pix]")
    return ax
