"""What the pre-amp correction knows before its pass over the data: pixels, scene, variances."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy
from tsoxr.kernels import preamp as kernel
from tsoxr.kernels.detector import level_labels
from tsoxr.kernels.light import background_pixels, bright_pixels, median_and_sigma, wings
from tsoxr.kernels.stripe_amplitude import amplitude_of
from tsoxr.steps import _clock, _flags
from tsoxr.steps._image_reach import half_width_of
from tsoxr.steps._stripes import BAD, has_interleaved_outputs

__all__ = [
    "Plan",
    "corrected",
    "default_half_width",
    "measure",
    "pixels_of",
    "solver_of",
    "terms_of",
]

LARGEST_SAMPLE, SAMPLE, SMALLEST = 16e6, 32, 8
"""Pixels and integrations of a sample: at most, at most, at least."""

CENTER_PIXELS = 513
"""Pixels that tell about where an output stands in a frame."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What the step decided: terms, pixels, axes.

    ``sky`` (y, x) bool may hold sky pixels, all but the light is to be told from the data;
    ``reference`` (y, x) bool are reference pixels that may measure. ``tick`` (y, x) is the
    clock at which a pixel is read.
    """

    terms: kernel.Terms
    kinds: tuple[str, ...]
    sky: np.ndarray
    reference: np.ndarray
    trusted: np.ndarray
    find_light: bool
    half_width: float
    point_source: bool
    spatial_axis: int
    sigma: float
    scale: bool
    pedestal: bool
    tick: np.ndarray | None = None

    def shapes(self, n_group: int) -> dict[str, tuple[int, ...]]:
        """Return the parts of the table in order."""
        image = self.sky.shape
        return {
            "scene": (n_group, *image), "wing": image, "bright": image, "weight": (2, *image),
            "limit": (2, *image), "variance": (2, len(self.kinds)), "correlation": (2, 2),
            "amplitude": (2,),
        }  # fmt: skip

    def parts(self, table: np.ndarray, n_group: int) -> dict[str, np.ndarray]:
        """Return the parts of a table."""
        shapes = self.shapes(n_group)
        ends = np.cumsum([np.prod(s) for s in shapes.values()])
        cut = np.split(table, ends[:-1])
        return {n: c.reshape(s) for (n, s), c in zip(shapes.items(), cut, strict=True)}


def terms_of(ds: xr.Dataset, *, parity: bool, slow_pattern: bool) -> tuple[kernel.Terms, tuple]:
    """Return the labels of all pixels and the names of the kinds."""
    fast, slow = ds.attrs["fast_dim"], ds.attrs["slow_dim"]
    n_fast, n_slow = ds.sizes[fast], ds.sizes[slow]
    n_outputs, interleaved = int(ds.attrs.get("n_outputs", 1)), has_interleaved_outputs(ds)
    output = level_labels(n_fast, n_outputs, interleaved=interleaved, by_parity=False)
    i_slow, i_fast = np.indices((n_slow, n_fast))
    output = np.broadcast_to(output, i_slow.shape)
    odd = (i_slow if interleaved else i_fast) % 2
    made = {"line": (output * n_slow + i_slow, n_outputs * n_slow), "output": (output, n_outputs)}
    if n_outputs > 1:
        made["shared"] = (i_slow, n_slow)
    if parity:
        made["parity"] = (2 * output + odd, 2 * n_outputs)
    if slow_pattern:
        made["slow"] = (i_fast, n_fast)
    order = (0, 1) if slow == "y" else (1, 0)
    labels = np.stack([label.transpose(order) for label, _ in made.values()])
    sizes = tuple(size for _, size in made.values())
    shared = tuple(made).index("shared") if "shared" in made else 0
    return kernel.Terms(np.ascontiguousarray(labels), sizes, n_slow, shared), tuple(made)


def pixels_of(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return good light-sensitive and good reference pixels, (y, x) bool."""
    flags = _clock.at_hand(ds["dq_pixel"]).transpose("y", "x")
    reference = dq.has_flag(flags, "REFERENCE_PIXEL")
    broken = dq.has_flag(flags, "BAD_REF_PIXEL", "DEAD", "HOT")
    return np.asarray(~dq.has_flag(flags, *BAD)), np.asarray(reference & ~broken)


def measure(ds: xr.Dataset, plan: Plan) -> xr.DataArray:
    """Return the table of all that is static, (preamp_table,) float32."""
    ramp = ds["ramp"].transpose("time", "group", "y", "x")
    n_group = ramp.sizes["group"]
    n_sample = int(np.clip(LARGEST_SAMPLE / (ramp.size / ramp.sizes["time"]), SMALLEST, SAMPLE))
    unusable = dq.has_flag(ds["dq_group"], *dq.UNUSABLE).transpose(*ramp.dims)
    size = sum(int(np.prod(s)) for s in plan.shapes(n_group).values())
    length = xr.DataArray(np.zeros(size, "f4"), dims="preamp_table")
    return lazy.static_from_sample(
        partial(_table, plan), ramp, unusable, length, dims=("preamp_table",), n_sample=n_sample
    )


def _table(plan: Plan, ramp: np.ndarray, unusable: np.ndarray, length: np.ndarray) -> np.ndarray:
    n_group = ramp.shape[1]
    rises = ramp.astype(np.float32)
    rises[:, 1:] -= rises[:, :1]
    scene = np.median(rises, axis=0)
    fit = np.isfinite(scene).all(axis=0) & ~_flags.of_single_pixels(unusable).any(axis=(0, 1))
    rises -= scene
    light = scene[-1]
    sky = plan.sky & fit
    if plan.find_light:
        turn = (lambda a: a) if plan.spatial_axis == 0 else np.transpose
        far = background_pixels(
            turn(light), turn(sky), plan.half_width, point_source=plan.point_source
        )
        sky = turn(far)
    reference = plan.reference & fit
    wing, bright = np.zeros_like(light), np.zeros(light.shape, bool)
    if plan.scale and n_group > 1 and sky.any():
        turn = (lambda a: a) if plan.spatial_axis == 0 else np.transpose
        wing = turn(wings(turn(light), turn(sky)))
        bright = bright_pixels(light, plan.trusted & fit)
    out = {"scene": scene, "wing": wing, "bright": bright.astype("f4")}
    share = _followed(plan, ramp, scene, bright, n_group)
    stages = [rises[:, 0], rises[:, -1] - share[:, None, None] * wing]
    found = [_stage(plan, values, sky, reference) for values in stages]
    for name in ("weight", "limit", "variance", "correlation", "amplitude"):
        out[name] = np.stack([each[name] for each in found])
    table = np.concatenate([np.ravel(out[name]) for name in plan.shapes(n_group)])
    return np.nan_to_num(table).astype(length.dtype)


def _followed(
    plan: Plan, ramp: np.ndarray, scene: np.ndarray, bright: np.ndarray, n_group: int
) -> np.ndarray:
    """Return the excess of the star's light in each integration, (time,) float32."""
    expected = float(scene[-1][bright].sum(dtype=np.float64)) if bright.any() else 0.0
    if n_group < 2 or not plan.scale or not expected > 0:
        return np.zeros(ramp.shape[0], np.float32)
    rise = ramp[:, -1, bright].astype(np.float64) - ramp[:, 0, bright]
    return (np.nansum(rise, axis=1) / expected - 1.0).astype(np.float32)


def _stage(
    plan: Plan, values: np.ndarray, sky: np.ndarray, reference: np.ndarray
) -> dict[str, np.ndarray]:
    """Return weights, clipping distance and variances of one stage, from its residuals."""
    weight, limit = np.zeros(sky.shape, np.float32), np.zeros(sky.shape, np.float32)
    center = _centers(values, sky | reference, plan.terms)
    apart = values - center[:, plan.terms.labels[1]]
    for own in (sky, reference):
        if own.any():
            noise, total = _white(apart[:, own], plan.terms.labels[0][own])
            weight[own], limit[own] = (1.0 / noise**2 if noise > 0 else 0.0), plan.sigma * total
    empty = {"variance": np.ones(len(plan.kinds)), "correlation": np.zeros(2), "amplitude": 0.0}
    if weight.any():
        use = weight > 0
        kept = np.where(np.abs(apart[:, use]) <= limit[use], values[:, use], 0.0)
        prior = kernel.components(kept, weight, plan.terms)
        empty = {
            "variance": np.array(prior.variance), "correlation": np.array(prior.correlation),
            "amplitude": _amplitude(plan, kept, use),
        }  # fmt: skip
    return {"weight": weight, "limit": limit, **empty}


def _amplitude(plan: Plan, values: np.ndarray, use: np.ndarray) -> float:
    """Return the amplitude of the 1/f noise of a stage; 0 where nothing tells."""
    if plan.tick is None:
        return 0.0
    first = plan.terms.labels[1][use] == plan.terms.labels[1][use][0]  # one output: one clock
    tick = plan.tick[use][first]
    try:
        return amplitude_of(values[:, first], np.ones(tick.size), tick, int(plan.tick.max()) + 1)[0]
    except ValueError:  # no two pixels to compare
        return 0.0


def _centers(values: np.ndarray, use: np.ndarray, terms: kernel.Terms) -> np.ndarray:
    """Return about the median of each output in each frame, (frame, output), from some pixels."""
    out = np.zeros((len(values), terms.sizes[1]), np.float32)
    for output in range(terms.sizes[1]):
        y, x = np.nonzero(use & (terms.labels[1] == output))
        some = np.linspace(0, y.size - 1, min(y.size, CENTER_PIXELS)).astype(int)
        if y.size:
            out[:, output] = np.median(values[:, y[some], x[some]], axis=1)
    return np.nan_to_num(out)


def _white(values: np.ndarray, lines: np.ndarray) -> tuple[float, float]:
    """Return the deviation of pixels (frame, pixel) about their line, and about zero.

    Neighbours of a line differ by the white noise alone; parities go in steps of two.
    """
    total = float(median_and_sigma(values)[1].squeeze())
    order = np.argsort(lines, kind="stable")
    pair = lines[order][2:] == lines[order][:-2]
    step = (values[:, order[2:]] - values[:, order[:-2]])[:, pair]
    if step.size == 0:
        return total, total
    return float(median_and_sigma(step)[1].squeeze()) / np.sqrt(2.0), total


def corrected(ds: xr.Dataset, plan: Plan, table: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the corrected ramps, and the levels (time, group, preamp_level)."""
    ramp = ds["ramp"].transpose("time", "group", "y", "x")
    clock = (ds["group_time"] if "group_time" in ds.coords else ds["group"]).astype("f8")
    level = xr.DataArray(np.zeros(sum(plan.terms.sizes), "i1"), dims="preamp_level")
    work = _Work(plan, _clock.at_hand(clock).values)
    (found,) = chunks.per_chunk(
        work.levels, ramp, table, level, dims=("time", "group", "preamp_level"), dtypes=("f4",)
    )
    (clean,) = chunks.per_chunk(work.subtract, ramp, found, dims=ramp.dims, dtypes=("f4",))
    return clean.transpose(*ds["ramp"].dims), found


@dataclass(frozen=True, eq=False)
class _Work:
    """What is done to each chunk."""

    plan: Plan
    clock: np.ndarray
    solvers: dict[int, kernel.Solver] = field(default_factory=dict)

    def levels(self, ramp: np.ndarray, table: np.ndarray, _level: np.ndarray) -> tuple[np.ndarray]:
        """Return the levels of each frame of a chunk."""
        plan, terms = self.plan, self.plan.terms
        n_time, n_group = ramp.shape[:2]
        part = plan.parts(table, n_group)
        share = _followed(plan, ramp, part["scene"], part["bright"] > 0, n_group)
        span = self.clock[-1] - self.clock[0] if n_group > 1 else 1.0
        follow = (share[:, None] * self.clock / span).astype(np.float32)
        sums = kernel.frame_sums(
            ramp, part["scene"], part["wing"], follow, part["weight"], part["limit"],
            self._centers(ramp, part), terms.labels, terms.offsets,
        )  # fmt: skip
        out = np.zeros_like(sums)
        for stage, frames in enumerate((slice(0, 1), slice(1, None))):
            if part["weight"][stage].any() and (stage or plan.pedestal):
                chosen = sums[:, frames].reshape(-1, sums.shape[2])
                solved = self._solver(stage, part)(chosen)
                out[:, frames] = solved.reshape(n_time, -1, sums.shape[2])
        out[:, 1:] += out[:, :1]
        return (out.astype(np.float32),)

    def _solver(self, stage: int, part: dict[str, np.ndarray]) -> kernel.Solver:
        """Return what solves the frames of a stage; the same for all chunks."""
        if stage not in self.solvers:
            self.solvers[stage] = solver_of(self.plan, part, stage)
        return self.solvers[stage]

    def _centers(self, ramp: np.ndarray, part: dict[str, np.ndarray]) -> np.ndarray:
        """Return where the outputs stand in each frame, (time, group, output) float32."""
        terms, n_output = self.plan.terms, self.plan.terms.sizes[1]
        out = np.zeros((*ramp.shape[:2], n_output), np.float32)
        for output in range(n_output):
            y, x = np.nonzero((part["weight"] > 0).any(axis=0) & (terms.labels[1] == output))
            some = np.linspace(0, y.size - 1, min(y.size, CENTER_PIXELS)).astype(int)
            if y.size:
                y, x = y[some], x[some]
                values = ramp[:, :, y, x].astype(np.float32)
                values[:, 1:] -= values[:, :1]
                out[..., output] = np.median(values - part["scene"][:, y, x], axis=2)
        return np.nan_to_num(out)

    def subtract(self, ramp: np.ndarray, found: np.ndarray) -> tuple[np.ndarray]:
        """Return a chunk without its levels."""
        terms = self.plan.terms
        return (kernel.subtract_terms(ramp, found, terms.labels, terms.offsets),)


def solver_of(plan: Plan, part: dict[str, np.ndarray], stage: int) -> kernel.Solver:
    """Return what solves the frames of a stage."""
    variances, correlation = (part[n][stage].astype(float) for n in ("variance", "correlation"))
    prior = kernel.Components(tuple(variances), tuple(correlation))
    return kernel.Solver(part["weight"][stage], plan.terms, prior)


def default_half_width(ds: xr.Dataset) -> float:
    """Return how far from the light pixels measure: as for the stripes in this mode."""
    given = half_width_of(ds)
    return min(ds.sizes[ds.attrs["spatial_dim"]] / 4.0, 20.0) if given is None else given
