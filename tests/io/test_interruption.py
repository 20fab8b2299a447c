"""Interrupted or broken, a pass stops soon, leaves no file and no thread, and can be run again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import lazy

SESSION = """
import json, os, signal, sys, threading, time
import numpy as np, xarray as xr
import tsoxr
from tsoxr import lazy
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
where, what = sys.argv[1:3]
slow = [0.3]
begun, ended = [], []
def work(block):
    begun.append(1)
    if len(begun) == 3:
        print("ready", flush=True)
    time.sleep(slow[0])
    ended.append(1)
    return block + 1
tsoxr.set_options(threads=2, progress=what == "bars")
values = np.arange(200.0, dtype="f4").reshape(100, 2)
cube = xr.DataArray(values, dims=("time", "x")).chunk(time=1)
data = cube.data.map_blocks(work, meta=np.empty((0, 0), "f4"))
made = cube.copy(data=data)
usual = lazy.time_median(made, n_sample=64)
ds = xr.Dataset({"a": made - usual if what == "sample" else made}, attrs={"title": "test"})
run = (lambda: lazy.compute(ds)) if what == "compute" else (lambda: ds.tso.save(where + "/a.nc"))
try:
    run()
    print("not interrupted", flush=True)
except KeyboardInterrupt:
    stopped = len(begun)
    files = os.listdir(where)
    threads = [t.name for t in threading.enumerate() if t.name.startswith("tsoxr")]
    ended_then = len(ended)
    time.sleep(0.7)
    quiet = len(begun) == stopped and len(ended) == ended_then
    slow[0] = 0.0
    run()
    found = lazy.compute(ds)["a"].values
    expected = values + 1
    if what == "sample":
        expected = expected - np.median(expected[lazy.sample_indices(100, 64)], axis=0)
    print(json.dumps({"files": files, "threads": threads, "quiet": quiet, "done": stopped,
        "right": bool(np.array_equal(found, expected)), "after": os.listdir(where)}), flush=True)
"""


@pytest.mark.parametrize("what", ["compute", "save", "sample", "bars"])
def test_an_interrupted_pass_stops_and_runs_again(tmp_path, what):
    command = [sys.executable, "-W", "ignore", "-c", SESSION, str(tmp_path), what]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGINT)
    start = time.monotonic()
    line = running.stdout.readline()
    took = time.monotonic() - start
    _, errors = running.communicate(timeout=30)
    assert line.startswith("{"), line + errors
    told = json.loads(line)
    assert told["files"] == []
    assert told["threads"] == []
    assert told["quiet"]
    assert told["done"] < 50  # of 100 chunks of 0.3 s in two threads: 7 s after the signal
    assert told["right"]
    assert told["after"] == ([] if what == "compute" else ["a.nc"])
    assert took < 15  # stopping, 0.7 s of waiting, and the second run


def rates():
    cube = xr.DataArray(np.ones((40, 4, 5), "f4"), dims=("time", "y", "x"))
    return xr.Dataset({"a": cube}, attrs={"title": "test"}).chunk(time=4)


@pytest.mark.parametrize("lazily", [True, False])
def test_a_disk_that_is_full_says_so(tmp_path, monkeypatch, lazily):
    from xarray.backends import netCDF4_

    count = []

    def full(self, key, value):
        count.append(1)
        raise RuntimeError("NetCDF: HDF error")

    ds = rates() if lazily else rates().compute()
    ds.tso.save(tmp_path / "a.nc")
    before = (tmp_path / "a.nc").read_bytes()
    monkeypatch.setattr(netCDF4_.NetCDF4ArrayWrapper, "__setitem__", full)
    message = (
        r"save: a.nc cannot be written \(NetCDF: HDF error\); \d+ MB are free in .*; make room"
    )
    with pytest.raises(OSError, match=message) as caught:
        ds.tso.save(tmp_path / "a.nc")
    assert count
    assert any("a.nc was not written" in note for note in caught.value.__notes__)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]
    assert (tmp_path / "a.nc").read_bytes() == before
    monkeypatch.undo()
    ds.tso.save(tmp_path / "a.nc")


def test_no_room_is_said_before_the_work(tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=3000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(OSError, match=r"a\.nc takes 0 MB or more, and 0 MB are free in"):
        rates().tso.save(tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_cut_is_named_and_nothing_is_left(tmp_path):
    exposure = tsoxr.simulation.exposure("nirspec-prism", n_integrations=20, n_groups=3, seed=1)
    (raw,) = exposure.write(tmp_path)
    ramps = tsoxr.open(raw, chunk_mb=1.0)
    whole = raw.read_bytes()
    raw.write_bytes(whole[: len(whole) // 2])
    made = ramps.tso.subtract_bias().tso.flag_jumps()
    with tsoxr.set_options(progress=False):
        for run in (lambda: made.tso.save(tmp_path / "a.nc"), lambda: lazy.compute(made)):
            with pytest.raises(tsoxr.SchemaError, match=r"uncal.fits: ends \d+ bytes before"):
                run()
        assert not list(tmp_path.glob("a.nc*"))
        raw.write_bytes(whole)
        np.testing.assert_array_equal(
            lazy.compute(made)["ramp"], lazy.compute(tsoxr.open(raw)).tso.subtract_bias()["ramp"]
        )


def test_threads_end_with_the_pass():
    lazy.compute(rates())
    assert not [t for t in threading.enumerate() if t.name.startswith("tsoxr")]
