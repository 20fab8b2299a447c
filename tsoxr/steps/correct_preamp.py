r"""Subtract what the pre-amplifiers add: levels of outputs, parities and lines, in one solution.

After each reset, and slowly from read to read, the pre-amplifier of each output settles at
another level; odd and even pixels pass through different halves of it; and 1/f noise gives each
line a level of its own. Pixels without light of the star, reference pixels or sky, see all of
this, and each of them measures all three at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import modes, schema
from tsoxr.checks import check_mask, check_positive
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _clock, _preamp, _preamp_variance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["correct_preamp"]

PIXELS = ("both", "reference", "sky")
LEVEL, PARITY, LINE = "correct_preamp_level", "correct_preamp_parity", "correct_preamp_line"
SLOW, MASK, DEVIATION = "correct_preamp_slow", "correct_preamp_mask", "correct_preamp_deviation"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=("stripe_variance",))
def correct_preamp(
    ds: xr.Dataset,
    *,
    pixels: str = "both",
    parity: bool = True,
    slow_pattern: bool = False,
    pedestal: bool = True,
    trace_half_width: float | None = None,
    mask: xr.DataArray | None = None,
    scale: bool = True,
    sigma: float = 5.0,
) -> xr.Dataset:
    r"""Subtract levels of outputs, odd and even pixels and lines, solved together per frame.

    Takes the place of ``correct_reference_pixels``, and of ``clean_1overf`` where the lines cross
    the spectrum; it can be followed by either. The levels are those of a regularised
    linear fit: each kind of level has a variance, measured from the data beside the white noise,
    and a level is subtracted as far as the pixels tell it from zero.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, not yet linearized.
    pixels : {"both", "reference", "sky"}
        Which pixels measure the levels.
    parity : bool
        Levels for odd and even pixels: along ``fast_dim``, or, where outputs are interleaved,
        for odd and even lines.
    slow_pattern : bool
        A level for each place along ``fast_dim``, the same for all lines of a frame.
    pedestal : bool
        Subtract the levels of the first group too. If false, only their change since, so
        that counts keep their zero point.
    trace_half_width : float, optional
        Sky pixels lie farther than this from the light, pixels across dispersion. If not
        given, the default of ``clean_1overf`` for the mode.
    mask : xarray.DataArray, optional
        (y, x) bool, true for sky pixels; takes the place of those found from the data.
    scale : bool
        Let the star's wings in the scene follow the light of each integration.
    sigma : float
        Values farther than this from the scene, in standard deviations of the pixels, are
        left out.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32; unchanged, with a note, where there are fewer than
        two integrations or no pixels. Adds ``stripe_variance`` (slow_dim), DN2, the error variance
        of the level of one group that the light of a line has in common (to one that is there
        it is added; ``clean_1overf`` replaces it, as it measures again); in DN, ``correct_preamp_level`` (time, group,
        preamp_output), ``correct_preamp_parity`` (time, group, preamp_output), even minus odd,
        ``correct_preamp_line`` (time, group, preamp_output, slow_dim), with ``slow_pattern``
        ``correct_preamp_slow`` (time, group, fast_dim); ``correct_preamp_mask`` (y, x); and
        ``correct_preamp_deviation`` (preamp_stage, preamp_kind), the measured standard deviations
        of the kinds of levels in its long name, for the first group and for rises since.

    Raises
    ------
    ValueError
        For an unknown ``pixels``, a number that is not positive, or a mask of another shape.

    Notes
    -----
    What is fitted is the departure from the median of each pixel over time, in the first group,
    and of the change since then in the others, where the reset noise of single pixels cancels.
    What never changes stays in the data. A sample of the integrations gives variances
    :math:`\tau^2` as mean squares of raw means less their white noise, and the correlation
    of neighbouring lines; the predicted levels have the smallest expected error among linear
    ones, and never more variance than they remove, as far as these variances hold. Lines without
    pixels are filled in from their neighbours. (The covariance that 1/f noise has on the clock, in
    place of that of a chain of neighbours, left 1 % less in simulated lines across the spectrum,
    and no less in those along it.) The error of a line is that of its levels, and, where lines
    cross the spectrum, the drift of 1/f noise between the pixels that measure and the light.

    References
    ----------
    .. [1] Robinson (1991), Statistical Science 6, 15: best linear unbiased prediction.
    .. [2] Rauscher (2015), PASP 127, 1144: pedestal, 1/f and alternating column noise.
    """
    _check(ds, pixels, {"trace_half_width": trace_half_width, "sigma": sigma}, mask)
    if ds.sizes["time"] < 2:
        note("one integration: levels cannot be told from what is static, data unchanged")
        return ds
    if trace_half_width is None:
        trace_half_width = derived(trace_half_width=_preamp.default_half_width(ds))
    good, reference = _preamp.pixels_of(ds)
    sky = good if mask is None else good & np.asarray(mask.transpose("y", "x"), dtype=bool)
    sky, reference = sky & (pixels != "reference"), reference & (pixels != "sky")
    if not (sky.any() or reference.any()):
        note(f"no pixel of kind {pixels!r} in this subarray: data unchanged")
        return ds
    mode = ds.attrs.get("tso_mode")
    terms, kinds = _preamp.terms_of(ds, parity=parity, slow_pattern=slow_pattern)
    plan = _preamp.Plan(
        terms=terms, kinds=kinds, sky=sky, reference=reference, trusted=good,
        find_light=mask is None and bool(sky.any()), half_width=float(trace_half_width),
        point_source=mode in modes.names() and modes.get(mode).imaging,
        spatial_axis=("y", "x").index(ds.attrs["spatial_dim"]),
        sigma=float(sigma), scale=scale, pedestal=pedestal,
        tick=_clock.pixel_ticks(ds) if "read_offset" in ds else None,
    )  # fmt: skip
    table = _preamp.measure(ds, plan)
    ramp, found = _preamp.corrected(ds, plan, table)
    variance = _preamp_variance.variance(ds, plan, table)
    if "stripe_variance" in ds:
        variance = variance + ds["stripe_variance"].drop_attrs()
    own = {"ramp": schema.label(ramp, "ramps", "ramp"), "stripe_variance": variance}
    return ds.assign(own | _diagnostics(ds, plan, table, found))


def _check(ds: xr.Dataset, pixels: str, numbers: dict[str, Any], mask: Any) -> None:
    if pixels not in PIXELS:
        raise ValueError(f"correct_preamp: pixels is {pixels!r}; it must be one of {PIXELS}")
    check_positive("correct_preamp", numbers)
    check_mask("correct_preamp", ds, mask)
    if mask is not None and mask.dtype.kind not in "bui":
        raise ValueError(
            f"correct_preamp: mask is of type {mask.dtype}; it must be bool, true for sky pixels; "
            "compare the values with a limit first"
        )


def _diagnostics(
    ds: xr.Dataset, plan: _preamp.Plan, table: xr.DataArray, found: xr.DataArray
) -> dict[str, xr.DataArray]:
    ends = plan.terms.offsets
    cut = {k: found.data[..., ends[i] : ends[i + 1]] for i, k in enumerate(plan.kinds)}
    n_outputs, lead = plan.terms.sizes[1], ("time", "group")
    lines = cut["line"].reshape(*found.shape[:2], n_outputs, plan.terms.n_slow)
    lines = lines + cut["shared"][:, :, None] if "shared" in cut else lines
    shapes = plan.shapes(ds.sizes["group"])
    ends = np.cumsum([np.prod(s) for s in shapes.values()])
    part = {
        name: table.data[stop - int(np.prod(s)) : stop].reshape(s)
        for (name, s), stop in zip(shapes.items(), ends, strict=True)
    }
    own = {
        LEVEL: ((*lead, "preamp_output"), cut["output"], "level of the output", "DN"),
        LINE: ((*lead, "preamp_output", ds.attrs["slow_dim"]), lines, "level of the line", "DN"),
        MASK: (("y", "x"), (part["weight"] > 0).any(axis=0), "pixels that measure the levels", "1"),
        DEVIATION: (
            ("preamp_stage", "preamp_kind"), part["variance"] ** 0.5,
            "standard deviation of the levels: " + ", ".join(plan.kinds), "DN",
        ),
    }  # fmt: skip
    if "parity" in cut:
        difference = cut["parity"][..., 0::2] - cut["parity"][..., 1::2]
        own[PARITY] = ((*lead, "preamp_output"), difference, "even minus odd pixels", "DN")
    if "slow" in cut:
        own[SLOW] = ((*lead, ds.attrs["fast_dim"]), cut["slow"], "level along the line", "DN")
    return {
        name: xr.DataArray(data, dims=dims, attrs={"long_name": text, "units": units})
        for name, (dims, data, text, units) in own.items()
    }


@diagnostic(correct_preamp)
def _plot(ds: xr.Dataset, *, output: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the levels of the outputs against time and, on a figure of its own, those of lines.

    Levels are those of the last group less those of the first, which is what slopes see.
    """
    alone = ax is None
    if alone:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(
            1, 2, figsize=(10.0, 3.4), width_ratios=(2, 3), layout="constrained"
        )
    if LEVEL not in ds:
        ax.text(0.5, 0.5, "data unchanged", ha="center", transform=ax.transAxes)
        return ax
    rise = _rise(ds[LEVEL])
    for k in range(rise.sizes["preamp_output"]):
        ax.plot(style.hours(ds), rise.isel(preamp_output=k), lw=0.8, label=f"output {k}")
    ax.set(xlabel="time since start [h]", ylabel="level, last - first group [DN]")
    ax.legend(fontsize="small")
    if alone:
        slow = ds.attrs["slow_dim"]
        lines = np.asarray(ds[slow]) if slow in ds.coords else np.arange(ds.sizes[slow])
        extent = (lines[0] - 0.5, lines[-1] + 0.5, -0.5, ds.sizes["time"] - 0.5)
        shown = _rise(ds[LINE]).isel(preamp_output=output).transpose("time", slow)
        style.image(
            beside, shown, extent=extent, label="line, last - first group [DN]", signed=True
        )
        beside.set(xlabel=f"line: {slow} [pix]", ylabel="integration")
    return ax


def _rise(levels: xr.DataArray) -> xr.DataArray:
    """Return what a level rose by to the last group that has any: others are out of use."""
    levels = levels.compute()
    known = (levels.fillna(0.0) != 0.0).any([d for d in levels.dims if d != "group"])
    last = int(np.flatnonzero(known.values)[-1]) if known.any() else -1
    return levels.isel(group=last) - levels.isel(group=0) * (levels.sizes["group"] > 1)
