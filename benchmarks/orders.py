"""How much light of the other orders is left in extracted SOSS spectra, several seeds.

    python benchmarks/orders.py                   # table, 5 seeds
    python benchmarks/orders.py --frame FILE.npy  # what a real frame, DN/s, is found to hold

Simulated exposures of SUBSTRIP256 with photon and read noise and a planet of 1 % depth below
0.9 um and 2 % above 1.6 um. ``separate_orders`` sees the noise; the spectra whose bias is stated
are of the same exposure without noise, extracted with the weights that the noisy one gave. Bias of
the flux: mean over columns of (extracted - true) / true, true being the light of the order in
its aperture. Bias of the depth: the same of the depth in the middle of the transit, ppm.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import xarray as xr

import tsoxr
from tsoxr.kernels.extraction import coverage
from tsoxr.simulation.telescope import AT_REST

COLUMNS = ((50, 200), (200, 400), (400, 600), (600, 800), (800, 1100), (1100, 1500), (1500, 1780))
DEPTH = xr.DataArray(
    [0.010, 0.010, 0.020, 0.020], dims="wavelength", coords={"wavelength": [0.5, 0.9, 1.6, 2.9]}
)


def exposure(seed: int, noise: tuple[str, ...]) -> tsoxr.simulation.Exposure:
    """Return the exposure with its planet."""
    return tsoxr.simulation.exposure(
        "niriss-soss", seed=seed, n_integrations=24, noise=noise, radius_ratio=np.sqrt(DEPTH),
        limb_darkening=(0.0, 0.0),
    )  # fmt: skip


def ready(rates: xr.Dataset, order: int) -> xr.Dataset:
    """Return rates with trace and wavelengths of an order."""
    if order > 1:
        rates = rates.tso.find_trace(spectral_order=order, method="reference")
    return rates.drop_vars("wavelength", errors="ignore").tso.assign_wavelength(order=order)


def light_in_aperture(
    quiet: tsoxr.simulation.Exposure, rates: xr.Dataset, order: int
) -> np.ndarray:
    """Return the true light of an order in its aperture, (x,) electron/s."""
    component = quiet.scene.of_order(order)
    image, n = np.zeros(quiet.setup.shape), component.wavelength.size
    component.paint(image, np.ones(n), np.zeros(n), AT_REST)
    return (coverage(rates["trace_center"].values, image.shape[0], 16.0) * image).sum(axis=0)


def measured(seed: int, method: str) -> list[dict]:
    """Return the bias with and without separated orders, and the cost in noise."""
    quiet, noisy = exposure(seed, ()), exposure(seed, ("photon", "read")).rates()
    begun = time.process_time()
    parts = noisy.tso.find_trace().tso.separate_orders()
    spent = time.process_time() - begun
    clean = parts.assign(rate=quiet.rates()["rate"].assign_attrs(parts["rate"].attrs))
    base = ~noisy["in_transit"].values
    rows = []
    for order in (1, 2):
        still, noise = ready(clean, order), ready(parts, order)
        light = light_in_aperture(quiet, still, order)
        truth = quiet.replace(order=order).truth(stripes=False)
        middle = int(truth["white_flux"].argmin())
        on = still.tso.extract(method=method)
        off = still.drop_vars("order_image").tso.extract(method=method)
        cost = noise.tso.extract(method=method)["flux_error"].median("time")
        cost = cost / noise.drop_vars("order_image").tso.extract(method=method)["flux_error"].median("time")  # fmt: skip
        depth = 1 - truth["flux"].values[middle]
        depth = np.interp(on["wavelength"], truth["wavelength"], depth)
        pixel = on["dispersion_pixel"].values
        for first, last in COLUMNS:
            here = (pixel >= first) & (pixel < last)
            flux, deep = [], []
            for spectra in (off, on):
                star = spectra["flux"].values[base].mean(axis=0)
                flux.append(((star - light[pixel]) / light[pixel])[here].mean())
                deep.append(
                    1e6 * ((1 - spectra["flux"].values[middle] / star) - depth)[here].mean()
                )
            rows.append({"order": order, "columns": (first, last), "flux": flux, "depth": deep,
                         "cost": float(cost.values[here].mean()), "seconds": spent})  # fmt: skip
    return rows


def table(n_seeds: int, method: str) -> None:
    """Print means over seeds: rms of what is left, for each range of columns."""
    runs = [measured(seed, method) for seed in range(1, n_seeds + 1)]
    print(f"method={method}; separate_orders with find_trace: {np.min([r[0]['seconds'] for r in runs]):.1f} s")  # fmt: skip
    print("| order | columns | flux, without | with | depth, without, ppm | with, ppm | noise |")
    for rows in zip(*runs, strict=True):
        flux, deep = (np.array([r[name] for r in rows]) for name in ("flux", "depth"))
        rms = np.sqrt((flux**2).mean(axis=0)), np.sqrt((deep**2).mean(axis=0))
        noise = np.mean([r["cost"] for r in rows])
        print(f"| {rows[0]['order']} | {rows[0]['columns'][0]} to {rows[0]['columns'][1]} | {100 * rms[0][0]:.3g} % | "
              f"{100 * rms[0][1]:.2g} % | {rms[1][0]:.3g} | {rms[1][1]:.2g} | {noise:.4f} |")  # fmt: skip


def of_frame(path: str) -> None:
    """Print what a real frame is found to hold."""
    made = tsoxr.simulation.exposure(
        "niriss-soss", frame=np.load(path), seed=1, n_integrations=16, n_groups=9,
        noise=("photon", "read"), radius_ratio=0.0,
    )  # fmt: skip
    parts = made.rates().tso.find_trace().tso.subtract_background().tso.separate_orders()
    share = parts["separate_orders_contamination"]
    for first, last in COLUMNS:
        values = share.isel(x=slice(first, last)).median("x").values
        print(f"{first} to {last}: " + ", ".join(f"order {n} {100 * v:.2g} %" for n, v in zip(parts["order"].values, values, strict=True)))  # fmt: skip


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--frame")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    warnings.simplefilter("ignore")
    if given.frame:
        of_frame(given.frame)
        return
    for method in ("box", "optimal"):
        table(given.seeds, method)


if __name__ == "__main__":
    main()
