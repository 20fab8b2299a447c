r"""Remove the periodic interference of MIRI's electronics.

Two signals couple into all outputs while MIRI is read: one of 390.625 Hz, whose period is 256
ticks of the 10 us clock, and one of 10.039 Hz. They are locked to the clock and run on
through resets, so each has one amplitude and phase for the whole exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _interference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["remove_emi"]

FREQUENCY, AMPLITUDE = "remove_emi_frequency", "remove_emi_amplitude"
PHASE, ERROR = "remove_emi_phase", "remove_emi_error"
FOLDED, POWER = "remove_emi_folded", "remove_emi_power"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=(AMPLITUDE, PHASE))
def remove_emi(
    ds: xr.Dataset,
    *,
    per: str = "exposure",
    frequencies: Sequence[float] = (390.625, 10.039216),
    harmonics: Sequence[int] = (4, 1),
    significance: float = 4.0,
) -> xr.Dataset:
    r"""Fit and subtract sine waves of given frequencies on the clock of the read-out (MIRI).

    Each pixel is read at its own tick, so a signal of known frequency is known but for its
    amplitude and phase: a linear problem. It is solved by weighted least squares on the quiet
    pixels of a sample of the integrations.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, not yet linearized, and ``read_offset``
        (y, x), s.
    per : {"exposure", "integration"}
        One amplitude and phase for the exposure, or for each integration (at least 4
        groups), should the clock have been disturbed between integrations.
    frequencies : sequence of float
        Frequencies, Hz.
    harmonics : sequence of int
        How many harmonics each has, the fundamental included.
    significance : float
        A wave whose amplitude is below this many standard deviations is left alone; only
        with ``per="exposure"``.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32; unchanged, with a note, where the instrument is
        not MIRI. Adds ``remove_emi_amplitude`` (DN) and ``remove_emi_phase`` (cycles, at
        the first tick of the exposure), (emi_wave) or (time, emi_wave);
        ``remove_emi_error`` (emi_wave), DN; ``remove_emi_frequency`` (emi_wave), Hz;
        ``remove_emi_folded`` (emi_signal, emi_phase), DN, the data folded on each frequency after
        the removal; ``remove_emi_power`` (emi_state, emi_bin), power before and after.

    Raises
    ------
    ValueError
        For an unknown ``per``, frequencies that are not between 0 and 50 kHz, another number
        of harmonics, or data of MIRI without ``read_offset`` or ``frame_time``.

    Notes
    -----
    The data are :math:`D = S_{gp} + k_{ip} + l_{igo} + \mathrm{Re}\sum_k A_k w_{igk} z_{pk} +
    \epsilon`: scene, level of each reset of a pixel, level of each frame and output, waves.
    Scene, reset and levels are taken off data and waves alike, which is the same as to fit
    them, so they do not bias the A. The scene is the mean ramp of each pixel. Where the
    integrations repeat with the period of the signal, the signal is part of that mean;
    a straight line for each ramp is then used in its place, or, below four groups, the wave is
    left in the data, where it is the same in all integrations. For n samples of noise
    :math:`\sigma` a component of A has the error :math:`\sigma\sqrt{2/n}`: less than 0.01 DN.
    The error that is returned is measured from the scatter of the integrations.

    References
    ----------
    .. [1] Ressler et al. (2015), PASP 127, 675: the MIRI focal plane system and its clocking.
    """
    _check(per, frequencies, harmonics, significance)
    if ds.attrs.get("instrument") != "MIRI":
        note(f"instrument {ds.attrs.get('instrument')!r} has no such interference: data unchanged")
        return ds
    _check_clock(ds)
    plan = _interference.make_plan(ds, list(frequencies), list(harmonics), float(significance))
    if per == "integration" and ds.sizes["group"] < 4:
        note(f"{ds.sizes['group']} groups are too few for each integration: one fit for all")
        per = "exposure"
    if not plan.seen.all() and per == "exposure":
        kept = [f"{f:g}" for f in plan.frequency[~plan.seen]]
        note(f"{', '.join(kept)} Hz repeat with the groups or integrations: left in the data")
    table = _interference.measure(ds, plan)
    ramp, amplitude = _interference.removed(ds, plan, table, per_integration=per == "integration")
    own = {"ramp": schema.label(ramp, "ramps", "ramp")}
    return ds.assign(own | _diagnostics(plan, table, amplitude, each=per == "integration"))


def _check(per: str, frequencies: Sequence[float], harmonics: Sequence[int], limit: float) -> None:
    if per not in ("exposure", "integration"):
        raise ValueError(f"remove_emi: per is {per!r}; it must be 'exposure' or 'integration'")
    if not limit >= 0:
        raise ValueError(f"remove_emi: significance is {limit}; it must be 0 or more")
    if len(frequencies) == 0 or len(frequencies) != len(harmonics):
        raise ValueError(
            f"remove_emi: {len(frequencies)} frequencies and {len(harmonics)} numbers of harmonics; "
            "give one of each for every signal"
        )
    for f, n in zip(frequencies, harmonics, strict=True):
        if int(n) < 1 or not 0 < f * n < 5e4:
            raise ValueError(
                f"remove_emi: {f} Hz with {n} harmonics; frequencies lie between 0 and 50000 Hz, with at "
                "least one harmonic"
            )


def _check_clock(ds: xr.Dataset) -> None:
    for name, there in (("read_offset", ds.variables), ("frame_time", ds.attrs)):
        if name not in there:
            raise ValueError(
                f"remove_emi: {name!r} is missing; it comes with the data from tsoxr.open"
            )


def _diagnostics(
    plan: _interference.Plan, table: xr.DataArray, amplitude: xr.DataArray, *, each: bool
) -> dict[str, xr.DataArray]:
    part = _interference.Table(plan).part
    size, turn = np.abs(amplitude), xr.ufuncs.angle(amplitude) / (2.0 * np.pi) % 1.0
    if not each:
        known = part(table, "real", "emi_wave") + 1j * part(table, "imag", "emi_wave")
        size, turn = np.abs(known), xr.ufuncs.angle(known) / (2.0 * np.pi) % 1.0
    frequency = xr.DataArray(plan.frequency, dims="emi_wave")

    def labelled(array: xr.DataArray, long_name: str, units: str, **more: float) -> xr.DataArray:
        return array.assign_attrs(long_name=long_name, units=units, **more)

    return {
        FREQUENCY: labelled(frequency, "frequency of the wave", "Hz"),
        AMPLITUDE: labelled(size, "amplitude of the wave", "DN"),
        PHASE: labelled(turn, "phase of the wave in cycles, cosine, first tick", "1"),
        ERROR: labelled(part(table, "error", "emi_wave"), "error of the amplitude", "DN"),
        FOLDED: labelled(
            part(table, "folded", "emi_signal", "emi_phase"), "data folded after removal", "DN"
        ),
        POWER: labelled(
            part(table, "power", "emi_state", "emi_bin"), "power density, before and after",
            "DN2 Hz-1", frequency_step=plan.power_step,
        ),
    }  # fmt: skip


def _waveforms(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return base frequencies, phases (bin,) and the fitted waveform of each at them."""
    frequency = ds[FREQUENCY].values
    amplitude = ds[AMPLITUDE].values * np.exp(2j * np.pi * ds[PHASE].values)
    amplitude = amplitude.mean(axis=0) if amplitude.ndim > 1 else amplitude
    n_signal, phase = ds.sizes["emi_signal"], (np.arange(_interference.PHASES) + 0.5) / 64.0
    starts = np.flatnonzero(np.diff(frequency, prepend=np.inf) < 0)[:n_signal]
    base = frequency[starts]
    owner = np.searchsorted(starts, np.arange(frequency.size), side="right") - 1
    forms = [np.zeros(phase.size) for _ in base]
    for wave, signal in enumerate(owner):
        number = frequency[wave] / base[signal]
        forms[signal] = forms[signal] + (amplitude[wave] * np.exp(2j * np.pi * number * phase)).real
    return base, phase, forms


@diagnostic(remove_emi)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the data folded on the strongest signal and, on a figure of its own, their power.

    Grey is before the removal, blue after it; the waveform that was subtracted is the line.
    """
    alone = ax is None
    if alone:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(1, 2, figsize=(10.0, 3.4), layout="constrained")
    if AMPLITUDE not in ds:
        ax.text(0.5, 0.5, "not MIRI: data unchanged", ha="center", transform=ax.transAxes)
        return ax
    base, phase, forms = _waveforms(ds)
    strongest = int(np.argmax([np.ptp(form) for form in forms]))
    after, form = ds[FOLDED].values[strongest], forms[strongest]
    if not (np.any(after) or np.any(form)):
        said = "no pixel has all its groups in use: nothing was removed"
        ax.text(0.5, 0.5, said, ha="center", transform=ax.transAxes)
        if alone:
            beside.set_axis_off()
        return ax
    dots = {"ls": "none", "marker": ".", "ms": 5}
    ax.plot(phase, after + form, color=style.COLORS["before"], label="before", **dots)
    ax.plot(phase, form, color=style.COLORS["model"], lw=1.2, label="subtracted")
    ax.plot(phase, after, color=style.COLORS["after"], label="after", **dots)
    ax.set(xlabel=f"phase on {base[strongest]:g} Hz [cycles]", ylabel="mean of the pixels [DN]")
    ax.legend(fontsize="small")
    if alone:
        _draw_power(beside, ds, base)
    return ax


def _draw_power(ax: Axes, ds: xr.Dataset, base: np.ndarray) -> None:
    power = ds[POWER]
    frequency = power.attrs["frequency_step"] * np.arange(1, power.sizes["emi_bin"] + 1)
    for state, name in enumerate(("before", "after")):
        ax.loglog(frequency, power.values[state], color=style.COLORS[name], lw=1.2, label=name)
    for each in base:
        ax.axvline(each, color=style.COLORS["model"], ls=":", lw=1.0)
    ax.set(xlabel="frequency on the clock [Hz]", ylabel="power density [DN2 / Hz]")
    ax.legend(fontsize="small")
