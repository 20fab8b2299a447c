"""Draw the diagnostic of every step on simulated data, for the step's page.

Steps of the chain on the first page are drawn as they are there, after the steps before
them; others are applied to the product that the chain has of the kind they take. A step
that leaves the data of that mode unchanged is drawn for a mode where it does something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import tsoxr
from tsoxr import registry, testing

MODE = "nirspec-prism"
OTHER_MODES = ("miri-lrs",)
WITH = {
    "correct_preamp": (MODE, "odd_even"),
    "flag_reset_artifact": (MODE, "reset_artifact"),
    "remove_emi": ("miri-lrs", "emi"),
    "subtract_reset_anomaly": ("miri-lrs", "reset_anomaly"),
}
"""Steps that need a source of noise beside the standard ones to show anything: mode, source."""
RATES = {
    "flag_contaminants": {"mode": "niriss-soss", "n_integrations": 3},
    "separate_orders": {"mode": "niriss-soss", "n_integrations": 3, "noise": ("photon", "read")},
    "photometry": {"mode": "nircam-imaging", "n_integrations": 60},
}
"""Steps of the rate level that only some modes have, and the exposure on which they are drawn."""
CHAIN = Path(__file__).parents[1] / "examples" / "chain.py"


def arguments(name: str, ds: xr.Dataset) -> dict[str, Any]:
    """Return what a step must be given on the example data."""
    if name == "calibrate_flux":
        wave = np.linspace(0.4, 6.0, 50)
        curve = 2e-3 * (1 + 0.1 * (wave - 2) ** 2)
        return {"photom": xr.DataArray(curve, {"wavelength": wave}, "wavelength")}
    if name == "mark_transit":
        time = ds["time"]
        return {"t0": float(time.mean()), "duration": 0.4 * float(time[-1] - time[0])}
    if name == "flag_contaminants":
        other = tsoxr.simulation.exposure("niriss-soss", filter="F277W", n_integrations=3, seed=2)
        return {"frame": other.rates()}
    if name == "align":
        return {"shift": np.linspace(-0.1, 0.1, ds.sizes["time"])}
    if name == "use_references":
        return {"source": {t: ds[t].copy() for t in ("superbias", "gain", "flat") if t in ds}}
    return {}


def results() -> Iterator[tuple[str, xr.Dataset | Exception]]:
    """Apply each step once; yield its name and what it made, or why it failed."""
    ds = tsoxr.simulate(MODE, kind="ramps", n_integrations=60, seed=1)
    of_kind = {"ramps": ds}
    names = [
        name for name in re.findall(r"\.tso\.(\w+)\(", CHAIN.read_text()) if name in registry.STEPS
    ]
    for name in names:
        start = next((of_kind[k] for k in registry.STEPS[name].kinds if k in of_kind), ds)
        made = _applied(name, start)
        yield name, _one_that_shows(name, made)
        if isinstance(made, xr.Dataset):
            of_kind[made.attrs["tso_kind"]] = made
    for name in sorted(set(registry.STEPS) - set(names)):
        kinds = registry.STEPS[name].kinds
        if name in WITH:
            mode, source = WITH[name]
            noise = (*tsoxr.simulation.SETS["standard"], source)
            given = {"n_integrations": 60, "seed": 1, "noise": noise}
            yield name, _applied(name, tsoxr.simulate(mode, kind="ramps", **given))
            continue
        if name in RATES:
            exposure = tsoxr.simulation.exposure(**RATES[name], seed=1)
            yield name, _applied(name, exposure.rates())
            continue
        start = next((of_kind[k] for k in kinds if k in of_kind), None)
        made = _applied(name, testing.example(kinds[0], MODE) if start is None else start)
        yield name, _one_that_shows(name, made)


def _applied(name: str, ds: xr.Dataset) -> xr.Dataset | Exception:
    try:
        return getattr(testing.prepared(name, ds).tso, name)(**arguments(name, ds))
    except Exception as error:  # noqa: BLE001 -- one broken step must not hide the others
        return error


def _one_that_shows(name: str, made: xr.Dataset | Exception) -> xr.Dataset | Exception:
    """Return ``made``, or the same step in another mode where it left the data unchanged."""
    if isinstance(made, Exception) or not _unchanged(made):
        return made
    for mode in OTHER_MODES:
        other = _applied(name, testing.example(registry.STEPS[name].kinds[0], mode))
        if isinstance(other, xr.Dataset) and not _unchanged(other):
            return other
    return made


def _unchanged(ds: xr.Dataset) -> bool:
    return any("unchanged" in note for note in ds.tso.history[-1].get("notes", []))


def draw_all(folder: Path, key: str) -> dict[str, str]:
    """Draw the figures, unless those there were drawn by the same code.

    Parameters
    ----------
    folder : Path
        Where they are kept, ``<step>.png``.
    key : str
        Identifies the code.

    Returns
    -------
    dict
        Step to the mode on which it was drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn_by = folder / "drawn_by.json"
    before = json.loads(drawn_by.read_text()) if drawn_by.exists() else {}
    if before.get("key") == key:
        return dict(before["modes"])
    with tsoxr.set_options(progress=False):
        drawn = {
            n: _draw(n, made, folder / f"{n}.png")
            for n, made in results()
            if n in registry.DIAGNOSTICS
        }
    modes = {name: mode for name, mode in drawn.items() if mode is not None}
    complete = len(modes) == len(drawn)
    drawn_by.write_text(json.dumps({"key": key if complete else None, "modes": modes}))
    return modes


def _draw(name: str, made: xr.Dataset | Exception, file: Path) -> str | None:
    """Draw one figure and return the mode of its data, ``None`` where that failed."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from sphinx.util import logging

    error = made if isinstance(made, Exception) else None
    try:
        if error is None:
            axes = getattr(made.tso.plot, name)()
            first = next(iter(axes.values())) if isinstance(axes, dict) else axes
            first.figure.savefig(file, dpi=90)
            return str(made.attrs["tso_mode"])
    except Exception as problem:  # noqa: BLE001 -- as above
        error = problem
    finally:
        plt.close("all")
    logging.getLogger(__name__).warning(
        "no figure of %s: %s: %s", name, type(error).__name__, error
    )
    return None


def embed(text: str, modes: dict[str, str]) -> str:
    """Put the figure, or nothing, where a page has the mark of one."""

    def image(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in modes:
            return ""
        return f"![diagnostic plot of {name}](../figures/{name}.png)\n\nOn a simulated {modes[name]} exposure."

    return re.sub(r"<!-- figure: (\w+) -->", image, text)
