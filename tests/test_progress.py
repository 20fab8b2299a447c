"""Progress: bytes of the sample and of the pass, nothing for short work, closed at errors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import lazy, progress


class Bar:
    """Stands for tqdm and remembers."""

    made: list

    def __init__(self, total, desc, delay, **_):
        self.total, self.desc, self.delay = total, desc, delay
        self.done, self.closed = 0.0, False
        Bar.made.append(self)

    def update(self, size):
        assert not self.closed
        self.done += size

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    import tqdm.auto

    Bar.made = []
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    with tsoxr.set_options(progress=True):
        yield Bar.made


def cube():
    values = np.random.default_rng(0).normal(size=(100, 3, 4)).astype("f4")
    return xr.DataArray(values, dims=("time", "y", "x")).chunk(time=20)


def test_sample_and_pass_have_bars_of_their_bytes(bars):
    made = cube()
    lazy.compute(xr.Dataset({"a": made - lazy.time_median(made)}), label="what")
    assert [bar.desc for bar in bars] == ["what: sample", "what: pass"]
    assert bars[0].total == 32 * made.nbytes / 100
    assert bars[1].total == made.nbytes
    for bar in bars:
        assert bar.closed
        assert bar.done == pytest.approx(bar.total)
        assert bar.delay <= progress.DELAY


def test_a_pass_over_files_counts_their_bytes(bars, tmp_path):
    exposure = tsoxr.simulation.exposure("nirspec-prism", n_integrations=20, n_groups=3, seed=1)
    exposure.write(tmp_path)
    ramps = tsoxr.open(tmp_path / "*_uncal.fits", chunk_mb=1.0)
    raw = 20 * 3 * 32 * 512 * 2
    for some, size in ((ramps, raw), (ramps.isel(time=slice(0, 10)), raw // 2)):
        (some[["ramp"]] * 2).mean(("y", "x")).tso.save(tmp_path / "a.nc")
        assert bars[-1].desc == "a.nc: pass"
        assert bars[-1].done == pytest.approx(bars[-1].total)
        # the chunk at the cut is read as a whole
        assert size <= bars[-1].total <= size + ramps["ramp"].data[:5].nbytes


def test_a_bar_that_waited_in_the_sample_shows_the_pass_at_once(bars, monkeypatch):
    clock = iter([0.0, 0.5, 7.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("what"):
        with progress.stage("sample", 10):
            pass
        with progress.stage("pass", 10):
            pass
    assert [bar.delay for bar in bars] == [progress.DELAY - 0.5, 0.0]


def test_bars_close_at_an_error(bars):
    def fail(_block):
        raise ZeroDivisionError("on purpose")

    made = cube()
    broken = made.copy(data=made.data.map_blocks(fail, meta=np.empty((0, 0, 0), "f4")))
    with pytest.raises(ZeroDivisionError):
        lazy.compute(xr.Dataset({"a": broken}))
    assert bars
    assert all(bar.closed for bar in bars)
    assert progress._BARS.get() is None


def test_no_bar_where_none_is_wanted(bars):
    with tsoxr.set_options(progress=False):
        lazy.compute(xr.Dataset({"a": cube()}))
    assert bars == []
