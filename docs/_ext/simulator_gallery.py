"""Draw one simulated exposure of each mode, and list what the simulator can switch on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from md_text import code, table

from tsoxr import modes
from tsoxr.simulation import SETUPS, SOURCES, exposure
from tsoxr.simulation.noise import STANDARD

EXAMPLES: dict[str, dict[str, Any]] = {
    "nirspec-prism": {},
    "nirspec-g395h": {"n_integrations": 30, "n_groups": 12},
    "nirspec-g395h, NRS2": {"detector": "NRS2", "n_integrations": 30, "n_groups": 12},
    "nirspec-g395m": {"n_integrations": 30, "n_groups": 12},
    "niriss-soss": {"n_integrations": 12, "n_groups": 3},
    "niriss-soss, SUBSTRIP96": {"subarray": "SUBSTRIP96", "n_integrations": 20, "n_groups": 3},
    "niriss-soss, F277W": {"filter": "F277W", "n_integrations": 8, "n_groups": 3},
    "nircam-grism": {"subarray": "SUBGRISM64", "n_integrations": 24, "n_groups": 5},
    "nircam-grism, F444W": {
        "subarray": "SUBGRISM64",
        "filter": "F444W",
        "n_outputs": 1,
        "n_integrations": 24,
        "n_groups": 5,
    },
    "nircam-imaging": {"n_integrations": 24, "n_groups": 4},
    "miri-lrs": {},
    "miri-imaging": {"n_integrations": 40},
}
"""Title and parameters of each picture; a title begins with the mode."""


def file_name(title: str) -> str:
    """Return the name of a picture's file."""
    return title.replace(", ", "-").lower() + ".png"


def page() -> str:
    """Return the gallery's Markdown, one section for each picture."""
    parts = []
    for title, given in EXAMPLES.items():
        mode = title.partition(",")[0]
        asked = "".join(f", {k}={v!r}" for k, v in given.items())
        parts.append(
            f"### {title}\n\n{modes.get(mode).title}.\n\n"
            f'```python\ntsoxr.simulation.exposure("{mode}", seed=1{asked}).plot()\n```\n\n'
            f"![raw frame, ramp, noise and light curve of {title}]"
            f"(generated/figures/simulated/{file_name(title)})\n"
        )
    return "\n".join(parts)


def sources_table() -> str:
    """Return the ingredients that can be switched on and off."""
    rows = [(code(k), v, "yes" if k in STANDARD else "") for k, v in SOURCES.items()]
    return table(("name", "what it is", "in the standard set"), rows)


def draw_all(folder: Path, key: str) -> None:
    """Draw the pictures, unless those there were drawn by the same code.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    key : str
        Identifies the code.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    missing = set(SETUPS) - {title.partition(",")[0] for title in EXAMPLES}
    if missing:
        raise ValueError(f"simulator_gallery: no picture of {sorted(missing)}; add one to EXAMPLES")
    folder.mkdir(parents=True, exist_ok=True)
    drawn_by = folder / "drawn_by.txt"
    if drawn_by.exists() and drawn_by.read_text() == key:
        return
    for title, given in EXAMPLES.items():
        panels = exposure(title.partition(",")[0], seed=1, **given).plot()
        panels["frame"].figure.savefig(folder / file_name(title), dpi=80)
        plt.close("all")
    drawn_by.write_text(key)
