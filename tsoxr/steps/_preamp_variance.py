"""What error the pre-amp correction leaves in the lines."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.kernels.stripe_clock import Sums
from tsoxr.kernels.stripe_shares import light_shares, line_variance, within_lines
from tsoxr.steps._preamp import Plan, solver_of

__all__ = ["variance"]


def variance(ds: xr.Dataset, plan: Plan, table: xr.DataArray) -> xr.DataArray:
    """Return the error variance of the level of one group that a line has in common, (slow), DN2."""
    slow = ds.attrs["slow_dim"]
    size = xr.DataArray(np.zeros(ds.sizes[slow], "i1"), dims=slow)
    dispersion = None if plan.point_source else int(ds.attrs["dispersion_dim"] != slow)
    return lazy.static_from_sample(
        partial(_variance, plan, ds.sizes["group"], slow == "x", dispersion),
        table, size, dims=(slow,), dtype="f8",
    ).assign_attrs(long_name="variance of the level of a line in one group", units="DN2")  # fmt: skip


def _variance(
    plan: Plan,
    n_group: int,
    turned: bool,
    dispersion: int | None,
    table: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    part, stage = plan.parts(table, n_group), int(n_group > 1)
    weight = part["weight"][stage]
    if not weight.any():
        return np.zeros(size.size)
    turn = np.transpose if turned else np.asarray
    solver, terms = solver_of(plan, part, stage), plan.terms
    offsets = terms.offsets
    labels = [turn(kind).ravel() + offsets[k] for k, kind in enumerate(terms.labels)]

    def variance_of(sums: Sums) -> np.ndarray:
        n_sum, n_level = int(sums.block.max()) + 1, int(offsets[-1])
        combined = np.zeros(n_sum * n_level)
        for label in labels:
            combined += np.bincount(sums.block * n_level + label, sums.share, combined.size)
        return solver.variance_of(combined.reshape(n_sum, n_level))

    light, measured = turn(part["scene"][-1]), turn(weight > 0)
    found = line_variance(variance_of, light, measured, dispersion)
    if plan.tick is not None and dispersion != 1:
        share = light_shares(light, measured, dispersion)
        drift = within_lines(share, turn(weight), turn(plan.tick))
        found = found + part["amplitude"][stage] ** 2 * drift
    return found / (1.0 + stage)
