"""Give samples that cannot be used a value, for sums and programs that cannot leave them out.

Extraction here does not need it: it leaves such samples out and scales by the light expected in
them. Other programs, simple sums and pictures do better with an honest guess than with NaN or zero, and
so do, where the telescope jitters, pixels of the spectrum that are never usable.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.errors import TsoError
from tsoxr.kernels import replacement as kernel
from tsoxr.lazy import static_from_sample
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _outliers, _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["replace_bad_pixels"]

NEVER = ("REFERENCE_PIXEL", "NON_SCIENCE")
"""Pixels that see no light have no value to be guessed."""


@step(kind="rates", needs=("rate", "rate_error", "dq"), once=True)
def replace_bad_pixels(ds: xr.Dataset, *, method: str = "space", window: int = 5) -> xr.Dataset:
    """Replace samples that are flagged unusable by what their neighbours lead to expect.

    No flag is cleared: replaced samples carry FLUX_ESTIMATED beside what took them out of use, so
    that `extract` goes on to leave them out. Use the values in pictures, in sums of your own, and in
    programs that know no flags. In simulated data, scatter does not depend on what is done; for
    pixels of the spectrum that are always bad, depths are nearer to the truth with values from
    ``"space"`` than with any other and than without (documentation, page "Outliers and bad
    pixels", which also tells how to let `extract` use them).

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. Samples flagged
        DO_NOT_USE or OUTLIER, or not finite, are replaced; pixels that see no light
        (REFERENCE_PIXEL, NON_SCIENCE) are not.
    method : {"space", "profile", "time"}
        ``"space"``: the median frame, scaled to five pixels on either side along the dispersion, which a
        jittering telescope moves alike. ``"profile"``: scaled to the usable pixels of the same
        wavelength. ``"time"``: the median of
        the pixel's neighbours in time, with light and shift of this frame; where there are fewer than two,
        as ``"profile"``. In images without dispersion, lines and columns of the detector take
        the place of both.
    window : int
        Integrations on either side that ``"time"`` may use.

    Returns
    -------
    xarray.Dataset
        With new ``rate`` and ``rate_error``; ``dq`` gains ``FLUX_ESTIMATED``. The error is that of the
        estimate and the usual error of the pixel in quadrature: never smaller than the usual one. Adds
        ``replace_bad_pixels_fraction`` (dispersion), the replaced share of the light of each
        wavelength, and ``replace_bad_pixels_count`` (time). Samples for which there is nothing to go by
        stay as they are.

    Raises
    ------
    ValueError
        For an unknown method or a window below 1.

    Notes
    -----
    Pixels that are never usable get their place in the median frame from pairs of pixels along the
    dispersion, each scaled to the light of the column, as in `flag_bad_pixels`; how much the pairs
    disagree enters the error. Replaced samples of a column share the error of one scale: errors of sums are
    a little too small where several are replaced.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> whole = rates.tso.flag_outliers().tso.replace_bad_pixels()
    >>> bool(tsoxr.dq.has_flag(whole.dq, "FLUX_ESTIMATED").any())
    True
    """
    if method not in kernel.METHODS:
        raise ValueError(
            f"replace_bad_pixels: method={method!r}; it takes "
            f"{', '.join(map(repr, kernel.METHODS))}; use method='space'"
        )
    if window < 1 or window != int(window):
        raise ValueError(
            f"replace_bad_pixels: window={window}; it is a number of integrations from 1 on, use window=5"
        )
    dims = _outliers.DIMS
    flags = ds["dq"].transpose(*dims)
    frames = _outliers.frames(ds)
    wanted = frames.bad & ~_outliers.bare(dq.has_flag(flags, *NEVER))
    filled = _filled(ds, frames)
    if _rates.is_imaging(ds) and method != "time":
        note("a mode without dispersion: scaled to pixels of the same row or column")
    both = _replaced(ds, frames, wanted, filled, (kernel.METHODS.index(method), int(window)))
    known = np.isfinite(filled.isel(static=0, drop=True)) & np.isfinite(
        filled.isel(static=1, drop=True)
    )
    done = wanted & known
    along = str(ds.attrs["dispersion_dim"])
    rate, error = (
        ds[n].copy(data=both.isel(part=i, drop=True).transpose(*ds[n].dims).data)
        for i, n in enumerate(("rate", "rate_error"))
    )
    return ds.assign(
        rate=rate,
        rate_error=error,
        dq=dq.set_flag(ds["dq"], done.transpose(*ds["dq"].dims), "FLUX_ESTIMATED"),
        replace_bad_pixels_fraction=_share(done, filled, along),
        replace_bad_pixels_count=done.sum(("y", "x")).astype("i4").assign_attrs(
            units="1", long_name="replaced samples"
        ),
    )  # fmt: skip


def _filled(ds: xr.Dataset, frames: _outliers.Frames) -> xr.DataArray:
    """Return median frame, error and uncertainty of the first, (static, y, x) float32."""
    dispersed = not _rates.is_imaging(ds)
    turned = dispersed and str(ds.attrs["dispersion_dim"]) == "y"

    def fill(templates: Any, error: Any, _: Any) -> np.ndarray:
        median = np.where(templates[4] >= 0, templates[0], np.nan)
        images = (median.T, error.T) if turned else (median, error)
        filled = np.stack(kernel.fill_static(*images, dispersed=dispersed))
        return np.swapaxes(filled, 1, 2) if turned else filled

    three = xr.DataArray(np.zeros(3), dims="static")
    return static_from_sample(
        fill, frames.templates, frames.error_image, three, dims=("static", "y", "x")
    )


def _replaced(
    ds: xr.Dataset,
    frames: _outliers.Frames,
    wanted: xr.DataArray,
    filled: xr.DataArray,
    how: tuple[int, int],
) -> xr.DataArray:
    """Return new rates and errors, (part, time, y, x) float32."""
    margin = min(how[1], ds.sizes["time"]) if how[0] == 0 else 0
    along_x = str(ds.attrs["dispersion_dim"]) == "x"
    made = functools.partial(_replace, how=how, along_x=along_x)
    arrays = (frames.rate, frames.error, frames.bad, wanted, frames.fits)
    outside = (0.0, 1.0, True, False, np.nan)
    return _outliers.with_neighbours(
        made, arrays, outside, (frames.templates, filled), margin, dtype="f4", parts=2
    )


def _replace(*arrays: Any, how: tuple[int, int], along_x: bool, margin: int) -> np.ndarray:
    *cubes, templates, filled = arrays
    images = np.concatenate([templates, filled]).astype(np.float32)
    found: np.ndarray = kernel.replace(*cubes, images, (*how, margin, along_x))
    return found


def _share(done: xr.DataArray, filled: xr.DataArray, along: str) -> xr.DataArray:
    """Return the share of the light of each wavelength that was replaced, (dispersion) float32."""
    light = filled.isel(static=0, drop=True).astype("f8").clip(min=0.0)
    across = next(d for d in ("y", "x") if d != along)
    lost = (done.mean("time") * light).sum(across)
    share = (lost / light.sum(across)).round(7)  # the order of a sum is not that of another
    return (
        share.fillna(0.0)
        .astype("f4")
        .assign_attrs(units="1", long_name="replaced share of the light")
    )


@diagnostic(replace_bad_pixels)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the replaced share of the light along the dispersion; without ``ax`` a frame as well."""
    if "replace_bad_pixels_fraction" not in ds:
        raise TsoError(
            "plot.replace_bad_pixels: nothing was replaced; run .tso.replace_bad_pixels() first"
        )
    share = ds["replace_bad_pixels_fraction"].compute()
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, below) = plt.subplots(2, 1, figsize=(7.5, 5.0), layout="constrained")
        worst = int(np.argmax(ds["replace_bad_pixels_count"].values))
        frame = ds["rate"].isel(time=worst).transpose("y", "x").compute()
        lost = dq.has_flag(ds["dq"].isel(time=worst).transpose("y", "x"), "FLUX_ESTIMATED").values
        extent = style.edges(ds)
        units = ds["rate"].attrs.get("units", "DN s-1")
        style.image(below, frame, extent=extent, label=f"rate [{units}]", faint=True)
        y, x = np.nonzero(lost)
        below.plot(
            extent[0] + 0.5 + x,
            extent[2] + 0.5 + y,
            "s",
            ms=3,
            mfc="none",
            mec=style.COLORS["bad"],
            mew=0.6,
        )
        below.set(
            xlabel="x [pix]", ylabel="y [pix]",
            title=f"most were replaced in integration={worst}: {y.size} samples (squares)",
        )  # fmt: skip
    place, look = np.asarray(ds[share.dims[0]]), {"lw": 1, "color": style.COLORS["data"]}
    ax.plot(place, 100 * share.values, drawstyle="steps-mid", **look)
    ax.set(
        xlabel=f"{share.dims[0]} [pix]",
        ylabel="replaced light [%]",
        ylim=(0, None),
        xlim=(place[0], place[-1]),
    )
    ax.set_title(f"mean of the lines {100 * float(share.mean()):.2g} %", fontsize=9)
    return ax
