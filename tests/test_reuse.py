"""What one estimate leaves to the next: fewer tasks, the same values, and no more than the bound."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref

import dask
import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import chunks, deferred, lazy, testing
from tsoxr.reuse import Relay, Work

N_STEPS = 4


class Counted:
    """Counts how often each chunk goes through each step."""

    def __init__(self):
        self.calls, self.lock = {}, threading.Lock()

    def step(self, number):
        def func(block, static):
            key = number, int(block[0, 0, 0] // 100)
            with self.lock:
                self.calls[key] = self.calls.get(key, 0) + 1
            return (block + static,)

        return func


def chain(n_time=40, size=5, lazily=True, seed=0):
    """Return a Dataset of steps, each with an estimate from the data before it, and the counter."""
    counted = Counted()
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_time, 20, 30)).astype("f4")
    values[:, 0, 0] = 100.0 * (np.arange(n_time) // size) + 50.0
    cube = xr.DataArray(values, dims=("time", "y", "x"))
    cube = cube.chunk(time=size) if lazily else cube
    made = {"raw": cube}
    for number in range(N_STEPS):
        usual = lazy.static_from_sample(_usual, cube, dims=("y", "x"))
        func = counted.step(number) if lazily else _plus
        (cube,) = chunks.per_chunk(func, cube, usual, dims=cube.dims, dtypes=("f4",))
        made |= {f"usual_{number}": usual}
    return xr.Dataset(made | {"cube": cube, "sum": cube.sum("time")}), counted


def _usual(sample):
    out = np.median(sample, axis=0)
    out[0, 0] = 0.0  # the mark of the chunk stays
    return out


def _plus(block, static):
    return (block + static,)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("reuse_mb", [0.0, 0.03, 400.0])
def test_values_do_not_depend_on_the_bound(reuse_mb, scheduler):
    expected, _ = chain(lazily=False)
    made, _ = chain()
    with tsoxr.set_options(reuse_mb=reuse_mb, progress=False), dask.config.set(scheduler=scheduler):
        found = lazy.compute(made)
    for name in made.data_vars:
        if name == "sum":  # added up in another order: 40 values of float32, here up to 1e3
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-4)
        else:
            np.testing.assert_array_equal(found[name], expected[name])


def test_each_chunk_goes_through_each_step_once():
    made, counted = chain()
    with tsoxr.set_options(progress=False):
        lazy.compute(made)
    assert len(counted.calls) == N_STEPS * 8
    assert set(counted.calls.values()) == {1}
    made, counted = chain()
    with tsoxr.set_options(progress=False, reuse_mb=0):
        lazy.compute(made)
    assert max(counted.calls.values()) == N_STEPS  # three later estimates, and the pass


def test_estimates_share_their_sample_where_the_pass_is_long(monkeypatch):
    monkeypatch.setattr(deferred, "FEW_CHUNKS", 4)
    made, counted = chain()
    with tsoxr.set_options(progress=False):
        lazy.compute(made)
    # once for all estimates (the last step has none after it) and once for the pass
    assert all(n == (2 if number < N_STEPS - 1 else 1) for (number, _), n in counted.calls.items())


def test_no_more_is_kept_than_the_bound(monkeypatch):
    from tsoxr import reuse

    most = []
    original = Relay._keep

    def watched(self, key, value):
        out = original(self, key, value)
        most.append(reuse._nbytes([*self._served.values(), *self._kept.values()]))
        return out

    monkeypatch.setattr(Relay, "_keep", watched)
    made, _ = chain()
    one = made["raw"].nbytes / 8
    with tsoxr.set_options(progress=False, reuse_mb=3.5 * one / 1e6):
        lazy.compute(made)
    assert 0 < max(most) <= 3.5 * one


def test_nothing_is_kept_afterwards(monkeypatch):
    kept = []
    original = Relay.close

    def closed(self):
        kept.extend(weakref.ref(v) for v in self._kept.values() if isinstance(v, np.ndarray))
        original(self)

    monkeypatch.setattr(Relay, "close", closed)
    made, _ = chain()
    with tsoxr.set_options(progress=False), deferred.prepared([made["cube"].data]):
        pass
    gc.collect()
    assert kept
    assert not any(ref() is not None for ref in kept)


def test_an_error_in_an_estimate_leaves_the_data_usable():
    made, _ = chain()
    failing = [True]

    def fail(sample):
        if failing[0]:
            raise ZeroDivisionError("on purpose")
        return np.median(sample, axis=0)

    made["other"] = lazy.static_from_sample(fail, made["cube"], dims=("y", "x"))
    with tsoxr.set_options(progress=False):
        with pytest.raises(ZeroDivisionError):
            lazy.compute(made)
        failing[0] = False
        found = lazy.compute(made)
    expected, _ = chain(lazily=False)
    np.testing.assert_array_equal(found["cube"], expected["cube"])


def test_pickled_data_give_the_same():
    ramps = testing.example("ramps").chunk(time=3)
    made = ramps.tso.subtract_bias().tso.clean_1overf()
    again = pickle.loads(pickle.dumps(made))
    with tsoxr.set_options(progress=False):
        xr.testing.assert_identical(lazy.compute(again), lazy.compute(made))


def test_a_task_that_is_only_another_name_can_be_kept():
    cube = xr.DataArray(np.arange(24.0).reshape(8, 3), dims=("time", "x")).chunk(time=2)
    same = xr.DataArray(cube.data.rechunk((2, 3)).map_blocks(np.negative), dims=cube.dims)
    first = lazy.static_from_sample(lambda a: a.mean(axis=0), same, dims=("x",))
    second = lazy.static_from_sample(lambda a: a.sum(axis=0), same + first, dims=("x",))
    with tsoxr.set_options(progress=False):
        found = lazy.compute(xr.Dataset({"a": second, "b": same - second}))
    mean = -np.arange(24.0).reshape(8, 3).mean(axis=0)
    np.testing.assert_allclose(found["a"], 16 * mean)


def test_work_goes_on_from_what_is_known():
    source = dask.array.ones((4, 2), chunks=(2, 2))
    middle = source + 1
    work = Work([middle * 2])
    known = {(middle.name, 0, 0), (middle.name, 1, 0)}
    assert work.entries(known) == known
    reached = work.reached(known)
    assert not any(key[0] == source.name for key in reached)
    assert set(reached) > known
