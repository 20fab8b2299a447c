"""Lazy ramps hold the bytes of those drawn at once, however they are cut."""

import dask
import numpy as np
import pytest
from astropy.io import fits

import tsoxr
from tsoxr import schema, testing
from tsoxr.simulation import exposure

SMALL = {"seed": 3, "n_integrations": 7, "n_groups": 3}


@pytest.fixture(scope="module")
def made():
    return exposure("nirspec-prism", **SMALL)


@pytest.fixture(scope="module")
def drawn(made):
    return made.ramps()


@pytest.mark.parametrize("chunks", [1, 2, 3, 7, 100])
def test_any_chunking_gives_the_same_bytes(made, drawn, chunks):
    with testing.raise_if_computes():
        later = made.ramps(chunks)
    assert later["ramp"].dtype == later["ramp"].data.compute().dtype == np.uint16
    assert max(later["ramp"].chunks[0]) == min(chunks, 7)
    assert schema.validate(later) == []
    assert later.compute().identical(drawn)


def test_without_quantization_ramps_are_float(made):
    plain = made.replace(noise=("photon", "read", "one_over_f"))
    later = plain.ramps(2)["ramp"]
    assert later.dtype == np.float32
    np.testing.assert_array_equal(later.values, plain.ramps()["ramp"].values)


def test_order_of_drawing_does_not_matter(made, drawn):
    blocks = made.ramps(1)["ramp"].data
    expected = drawn["ramp"].values
    for index in (6, 0, 3):
        np.testing.assert_array_equal(blocks.blocks[index].compute()[0], expected[index])


def test_threads_do_not_matter(made, drawn):
    later = made.ramps(1)["ramp"].data
    with dask.config.set(scheduler="threads", num_workers=4):
        np.testing.assert_array_equal(later.compute(), drawn["ramp"].values)


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_every_source_is_independent_of_the_chunks(mode):
    each = exposure(mode, seed=3, n_integrations=3, n_groups=2, noise="all")
    whole = each.ramps()["ramp"].values
    np.testing.assert_array_equal(each.ramps(1)["ramp"].data.blocks[2].compute()[0], whole[2])


def test_lazy_ramps_are_those_of_the_segments(made, tmp_path):
    paths = made.write(tmp_path, n_segments=3)
    later = made.ramps(3)["ramp"].data
    for number, path in enumerate(paths):
        first, last = fits.getval(path, "INTSTART") - 1, fits.getval(path, "INTEND")
        assert last - first == (3, 2, 2)[number]
        np.testing.assert_array_equal(fits.getdata(path, "SCI"), later[first:last].compute())


def test_names_tell_exposures_apart(made):
    name = made.ramps(2)["ramp"].data.name
    assert tsoxr.simulate("nirspec-prism", chunks=2, **SMALL)["ramp"].data.name == name
    assert made.ramps(3)["ramp"].data.name != name
    assert made.replace(seed=4).ramps(2)["ramp"].data.name != name
    assert made.replace(radius_ratio=0.2).ramps(2)["ramp"].data.name != name


def test_group_flags_are_lazy_zeros(made):
    flags = made.ramps(2)["dq_group"]
    assert flags.chunks == made.ramps(2)["ramp"].chunks
    assert flags.dtype == np.uint8
    assert not flags.values.any()


@pytest.mark.parametrize("chunks", [0, -1, 1.5, np.nan])
def test_chunks_are_whole_numbers(made, chunks):
    with pytest.raises(ValueError, match=r"^simulate: chunks is .*whole number of integrations"):
        made.ramps(chunks)


@pytest.mark.parametrize("kind", ["rates", "spectra", "truth"])
def test_only_ramps_are_lazy(kind):
    with pytest.raises(ValueError, match=r"^simulate: chunks is 2 for kind .*only ramps are lazy"):
        tsoxr.simulate("nirspec-prism", kind=kind, chunks=2)
