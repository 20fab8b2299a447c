"""A real frame read out with 1/f noise, and what `clean_1overf` leaves of it.

The median frame of WASP-39 (NIRISS SOSS, SUBSTRIP256, programme 1366), with its real profile, orders,
field stars and sky, is read out by the simulator with photon, read and 1/f noise, reset offsets and a
transit. The file is not part of this package: it is
`wasp39_soss_substrip256_median_frame.npy`, derived from public data of the archive by
A. D. Feinstein and collaborators (https://github.com/afeinstein20/wasp39b_niriss_paper, MIT licence).

`python real_frame.py FRAME.npy --figure FIGURE.jpg` prints the table and draws the figure of the how-to
page of NIRISS. Left: rms, over columns and integrations, of what stays of the stripes in the rise from first
to last group, constant parts taken out. The oracle knows the scene and the hits without noise and
weights each pixel of a column with its inverse variance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

import tsoxr

NOISE = ("photon", "read", "one_over_f", "pedestal", "bias", "ktc", "bad_pixels")
METHODS = {"mean (default)": {"method": "mean"}, "scaled": {"method": "scaled"}}
BAD = ("DO_NOT_USE", "REFERENCE_PIXEL")


def read_out(frame: np.ndarray, **given: object) -> object:
    """Return the exposure whose scene is a frame (256, 2048), DN/s.

    The darkest twentieth of each column is the sky, which does not follow the transit.
    """
    frame = np.clip(frame, 0.0, None)
    sky = np.broadcast_to(np.percentile(frame[:252], 5, axis=0), frame.shape)
    setup = {"seed": 1, "n_integrations": 12, "n_groups": 3, "radius_ratio": 0.145, "noise": NOISE}
    return tsoxr.simulation.exposure(
        "niriss-soss", frame=frame, frame_static=np.minimum(sky, frame), **setup | given
    )


def rise(ds: xr.Dataset) -> xr.DataArray:
    """Return the last group minus the first, (time, y, x) DN."""
    ends = ds["ramp"].isel(group=[0, -1]).astype("f4").drop_attrs()
    return ends.isel(group=1, drop=True) - ends.isel(group=0, drop=True)


def varying(levels: xr.DataArray) -> xr.DataArray:
    """Return levels (time, x) without what is constant in time, without coordinates."""
    levels = levels.astype("f8").reset_coords(drop=True).drop_vars(["time", "x"], errors="ignore")
    return (levels - levels.median("time")).drop_attrs()


def injected(exposure: object) -> xr.DataArray:
    """Return the stripes that were added, (time, x) DN in the rise."""
    stripe = exposure.truth()["stripe"].squeeze(drop=True)
    return varying(stripe.isel(group=-1, drop=True) - stripe.isel(group=0, drop=True))


def weights(exposure: object, ramps: xr.Dataset) -> xr.DataArray:
    """Return the inverse variance (y, x) of a pixel's rise, DN-2, 0 where it is bad."""
    clock = ramps["group_time"]
    span = float(clock[-1] - clock[0])
    photons = exposure.truth(stripes=False)["rate"].clip(min=0) * span / ramps["gain"]
    variance = 2 * ramps["read_noise"] ** 2 + photons
    good = ~tsoxr.dq.has_flag(ramps["dq_pixel"], *BAD) & np.isfinite(variance)
    return (1 / variance).where(good, 0.0).drop_attrs()


def oracle(exposure: object, ramps: xr.Dataset) -> xr.DataArray:
    """Return the stripes (time, x) measured by one who knows the scene."""
    quiet = exposure.replace(noise=tuple(n for n in NOISE if n in ("bias", "bad_pixels")))
    seen = rise(ramps) - rise(quiet.ramps())
    weight = weights(exposure, ramps)
    return varying((seen.fillna(0) * weight).sum("y") / weight.sum("y"))


def measured(exposure: object) -> tuple[dict[str, float], dict[str, xr.DataArray]]:
    """Return what is left of the stripes, DN; rises of one integration; the mask of the default."""
    ramps, truth = exposure.ramps(), injected(exposure)
    before = ramps.tso.subtract_bias()
    left = {"none": truth, "oracle": truth - oracle(exposure, ramps)}
    middle = exposure.n_integrations // 2
    pictures = {"before": rise(before).isel(time=middle)}
    science = ~tsoxr.dq.has_flag(ramps["dq_pixel"], *BAD)
    for name, how in METHODS.items():
        after = before.tso.clean_1overf(**how)
        taken = (rise(before) - rise(after)).where(science).mean("y")
        left[name] = truth - varying(taken)
        pictures[name] = rise(after).isel(time=middle)
        pictures["mask"] = pictures.get("mask", after["clean_1overf_mask"])
    pictures["scene"] = rise(before).median("time")
    return {name: float(np.sqrt((each**2).mean())) for name, each in left.items()}, pictures


def draw(pictures: dict[str, xr.DataArray], figure: str) -> None:
    """Draw one integration before and after, and the same without what is constant."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(4, 1, figsize=(9, 9), sharex=True, layout="constrained")
    grey = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    image = axes[0].imshow(pictures["before"], vmin=-20, vmax=400, **grey)
    axes[0].set_title("one integration, last minus first group, bias subtracted")
    fig.colorbar(image, ax=axes[0], label="DN")
    titles = {"before": "the same, median of the integrations subtracted: before", **METHODS}
    for ax, name in zip(axes[1:], titles, strict=True):
        image = ax.imshow(
            pictures[name] - pictures["scene"], cmap="RdBu_r", vmin=-30, vmax=30, **grey
        )
        ax.set_title(titles[name] if name == "before" else f"after clean_1overf: {name}")
        fig.colorbar(image, ax=ax, label="DN")
    for ax in axes:
        ax.set_ylabel("y [pix]")
    axes[-1].set_xlabel("x [pix]")
    fig.savefig(figure, dpi=75)
    plt.close(fig)


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frame", type=Path)
    parser.add_argument("--figure")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    left, pictures = measured(read_out(np.load(given.frame)))
    for name, value in left.items():
        print(f"{name:16s} {value:6.3f} DN left, {value / left['oracle']:5.2f} times the oracle")  # noqa: T201
    if given.figure:
        draw(pictures, given.figure)


if __name__ == "__main__":
    main()
