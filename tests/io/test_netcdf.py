"""Saved and opened again, a product is identical; a failed save leaves the old file."""

import dask
import dask.array as da
import netCDF4
import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import io, lazy, testing

KINDS = ("ramps", "rates", "spectra", "lightcurves")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_round_trip_is_identical(tmp_path, kind, mode):
    ds = testing.example(kind, mode)
    assert io.save(ds, tmp_path / "a.nc") == tmp_path / "a.nc"
    again = tsoxr.open(tmp_path / "a.nc")
    assert lazy.is_lazy(again) == (kind == "ramps")
    xr.testing.assert_identical(again.load(), ds)
    for name in ds.variables:
        assert again[name].dtype == ds[name].dtype, name


def with_diagnostics(ds):
    image = ("y", "x"), np.ones((ds.sizes["y"], ds.sizes["x"]), "f4")
    return ds.assign(
        find_x_image=(*image, {"units": "DN", "diagnostic_of": "find_x"}),
        find_x_count=(
            "time",
            np.arange(ds.sizes["time"]),
            {"units": "1", "diagnostic_of": "find_x"},
        ),
        clean_y_level=(
            ("time", "bin"),
            np.zeros((ds.sizes["time"], 3)),
            {"diagnostic_of": "clean_y"},
        ),
    )


@pytest.mark.parametrize("kind", ["ramps", "rates"])
def test_diagnostics_lie_in_groups_and_come_back(tmp_path, kind):
    ds = with_diagnostics(testing.example(kind))
    io.save(ds, tmp_path / "a.nc")
    xr.testing.assert_identical(tsoxr.open(tmp_path / "a.nc").load(), ds)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert set(file["diagnostics"].groups) == {"find_x", "clean_y"}
        assert set(file["diagnostics/find_x"].variables) == {"find_x_image", "find_x_count"}
        assert "find_x_count" not in file.variables
        assert file["diagnostics/find_x"].dimensions.keys() <= {"time", "y", "x"}


def test_plain_xarray_opens_the_science(tmp_path):
    ds = with_diagnostics(testing.example("rates"))
    io.save(ds, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as plain:
        assert "find_x_image" not in plain
        assert plain["time"].dtype == np.float64
        assert plain.attrs["Conventions"] == "CF-1.11"
        assert plain.attrs["date_created"].startswith("20")
        xr.testing.assert_equal(
            plain[list(testing.example("rates").data_vars)], testing.example("rates")
        )
    with xr.open_datatree(tmp_path / "a.nc") as tree:
        shared = tree["diagnostics/find_x"].to_dataset()
        assert "time" in shared.coords  # inherited from the group above


def test_history_of_the_file_is_told_and_taken_off_again(tmp_path):
    ds = testing.example("rates")
    ds = ds.tso.mark_transit(t0=float(ds.time.mean()), duration=0.001)
    io.save(ds, tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert "mark_transit" in file.history
    again = tsoxr.open(tmp_path / "a.nc")
    assert not {"history", "Conventions", "date_created"} & set(again.attrs)
    assert again["in_transit"].dtype == bool
    xr.testing.assert_identical(again, ds)


def test_lazy_data_are_computed_chunk_by_chunk_in_one_pass(tmp_path):
    """Science and diagnostics share a graph: every chunk is made once, and few at a time."""
    ds = testing.example("ramps")
    made = []

    def block(block_info=None):
        made.append(block_info[None]["chunk-location"][0])
        return np.full(block_info[None]["chunk-shape"], 2.0, "f4")

    shape = tuple(ds["ramp"].sizes.values())
    cube = da.map_blocks(
        block,
        chunks=((4,) * 6, *[(s,) for s in shape[1:]]),
        dtype="f4",
        meta=np.empty((0,) * 4, "f4"),
    )
    ramp = ds["ramp"].copy(data=cube)
    count = ramp.sum(("group", "y", "x")).drop_attrs().assign_attrs(diagnostic_of="count_all")
    out = ds.assign(ramp=ramp, count_all_total=count.drop_vars(list(count.coords)))
    with dask.config.set(scheduler="synchronous"):
        io.save(out, tmp_path / "a.nc")
    assert sorted(made) == list(range(6))
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["ramp"].chunking() == [4, *shape[1:]]
    again = tsoxr.open(tmp_path / "a.nc")
    assert again["ramp"].chunks[0][0] % 4 == 0
    assert float(again["count_all_total"][0]) == 2.0 * np.prod(shape[1:])


def test_flags_are_compressed_and_pixels_are_not(tmp_path):
    io.save(testing.example("rates"), tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["dq"].filters()["complevel"] == 1
        assert file["dq"].filters()["shuffle"]
        assert not file["rate"].filters()["zlib"]
        assert "_FillValue" not in file["rate"].ncattrs()


def test_ramps_are_read_in_chunks_of_the_option(tmp_path):
    ds = testing.example("ramps")
    with tsoxr.set_options(chunk_mb=4 * ds["ramp"][0].size * 6 / 1e6):
        io.save(ds, tmp_path / "a.nc")
        again = tsoxr.open(tmp_path / "a.nc")
    assert again["ramp"].chunks[0] == (6, 6, 6, 6)
    assert again["dq_group"].chunks[0] == (6, 6, 6, 6)
    assert not lazy.is_lazy(again["dq_pixel"])


def test_file_is_free_after_opening(tmp_path):
    path = tmp_path / "a.nc"
    io.save(testing.example("rates"), path)
    ds = tsoxr.open(path)
    with netCDF4.Dataset(path, "a") as file:  # would fail while HDF5 holds a lock
        file.note = "written"
    path.unlink()
    assert np.isfinite(ds["rate"]).any()


def test_saving_lazy_data_over_their_own_file(tmp_path):
    path = tmp_path / "a.nc"
    ds = testing.example("ramps")
    io.save(ds, path)
    io.save(tsoxr.open(path), path)
    xr.testing.assert_identical(tsoxr.open(path).load(), ds)


class BrokenError(RuntimeError):
    pass


def test_an_interrupted_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.nc"
    old = testing.example("rates")
    io.save(old, path)

    def fail(block):
        raise BrokenError("while computing")

    lazily = old.chunk(time=4)
    bad = lazily.assign(
        rate=lazily["rate"].copy(
            data=lazily["rate"].data.map_blocks(fail, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
        )
    )
    with pytest.raises(BrokenError):
        io.save(bad, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]
    xr.testing.assert_identical(tsoxr.open(path), old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.assign_attrs(x=None), "attribute 'x' in group / is None"),
        (lambda ds: ds.assign_attrs(x={"a": 1}), r"attribute 'x' in group / is \{'a': 1\}"),
        (
            lambda ds: ds.assign(rate=ds["rate"].assign_attrs(x=True)),
            "attribute 'x' of 'rate' in group / is True",
        ),
    ],
)
def test_attributes_that_cannot_be_stored(tmp_path, change, message):
    with pytest.raises(tsoxr.SchemaError, match=message):
        io.save(change(testing.example("rates")), tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        io.save(testing.example("rates"), tmp_path / "sub" / "a.nc")


@pytest.fixture
def tree():
    one = with_diagnostics(testing.example("rates"))
    two = testing.example("rates").assign_attrs(detector="NRS2")
    two = two.assign_coords(time=two["time"] + 1e-4)
    return xr.DataTree.from_dict({"NRS1": one, "NRS2": two})


def test_tree_round_trip(tmp_path, tree):
    io.save(tree, tmp_path / "a.nc")
    xr.testing.assert_identical(tsoxr.open_tree(tmp_path / "a.nc"), tree)
    with pytest.raises(tsoxr.SchemaError, match=r"detectors \['NRS1', 'NRS2'\].*open_tree"):
        tsoxr.open(tmp_path / "a.nc")
    xr.testing.assert_identical(
        tsoxr.open(tmp_path / "a.nc", detector="NRS1"), tree["NRS1"].to_dataset()
    )


def test_tree_with_data_at_its_root(tmp_path):
    tree = xr.DataTree.from_dict({"/": testing.example("rates"), "later": testing.example("rates")})
    io.save(tree, tmp_path / "a.nc")
    xr.testing.assert_identical(tsoxr.open_tree(tmp_path / "a.nc"), tree)


def test_tree_nodes_hold_their_inherited_coordinates(tmp_path):
    spectra = testing.example("spectra").drop_vars("order", errors="ignore")
    times = xr.Dataset(coords={"time": spectra["time"].variable})
    orders = {f"order{i}": spectra.assign_coords(order=np.int16(i)) for i in (1, 2)}
    tree = xr.DataTree.from_dict({"/": times, **orders})
    io.save(tree, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", group="order2") as alone:
        np.testing.assert_array_equal(alone["time"], spectra["time"])
    ds = tsoxr.open(tmp_path / "a.nc", order=2)
    assert int(ds["order"]) == 2
    xr.testing.assert_identical(ds, orders["order2"])


def test_segments_saved_apart_join(tmp_path):
    whole = testing.example("rates")
    for i in range(2):
        io.save(whole.isel(time=slice(12 * i, 12 * i + 12)), tmp_path / f"{i}.nc")
    xr.testing.assert_identical(tsoxr.open(str(tmp_path / "*.nc")), whole)


def test_truncated_and_foreign_files(tmp_path):
    path = tmp_path / "a.nc"
    io.save(testing.example("rates"), path)
    with path.open("r+b") as stream:
        stream.truncate(3000)
    with pytest.raises(
        tsoxr.SchemaError, match=r"a.nc cannot be read as HDF5 .*3000 bytes.*truncated"
    ):
        tsoxr.open(path)
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "b.nc", engine="netcdf4")
    with pytest.raises(tsoxr.SchemaError, match=r"b.nc is HDF5 but no product of tsoxr .*\['a'\]"):
        tsoxr.open(tmp_path / "b.nc")
