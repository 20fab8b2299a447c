"""Other stars in the field: found in an F277W exposure, flagged in the science exposure."""

import numpy as np
import pytest
import xarray as xr

from tsoxr import dq, simulation
from tsoxr.simulation.setups import soss


@pytest.fixture(scope="module")
def science():
    return simulation.exposure("niriss-soss", n_integrations=2, n_groups=3, seed=1).rates()


@pytest.fixture(scope="module")
def other():
    return simulation.exposure("niriss-soss", filter="F277W", n_integrations=3, n_groups=3, seed=2)


@pytest.fixture(scope="module")
def field(other):
    return other.rates()


@pytest.fixture(scope="module")
def part(science):
    """Return a fifth of the science exposure, which takes a fifth of the time."""
    return science.isel(x=slice(800, 1200))


def test_every_star_of_the_field_is_flagged(science, field, other):
    out = science.tso.flag_contaminants(field, least_share=0.0)
    mask = out["flag_contaminants_mask"].values > 0
    assert all(mask[y, x] for x, y, _ in soss.STARS)
    light = other.scene.contaminants / float(field["gain"].mean())
    noise = 1.2533 / np.sqrt(3) * float(field["rate_error"].median())
    # the halo ends in pixels of their own noise: half of the threshold of the smoothed frame
    assert mask[light > 5 * noise].mean() > 0.9
    assert not mask[light < 0.05 * noise].any()
    flags = out["dq"].isel(time=1).values[mask]
    assert dq.has_flag(flags, "DO_NOT_USE").all()
    assert dq.has_flag(flags, "OTHER_BAD_PIXEL").all()
    np.testing.assert_array_equal(out["rate"], science["rate"])


def test_where_the_spectrum_is_much_brighter_nothing_is_lost(part, field):
    every = part.tso.flag_contaminants(field, least_share=0.0)
    default = part.tso.flag_contaminants(field)
    lost = every["flag_contaminants_mask"] > default["flag_contaminants_mask"]
    assert int(lost.sum()) > 100
    ratio = default["flag_contaminants_light"] / part["rate"].median("time")
    assert float(ratio.where(lost).max()) < 0.04  # 3 %, and the medians' NaN


def test_smaller_subarray_takes_its_part_of_the_frame(field):
    narrow = simulation.exposure("niriss-soss", subarray="SUBSTRIP96", n_integrations=2, seed=1)
    rates = narrow.rates().isel(x=slice(1000, 2048))
    mask = rates.tso.flag_contaminants(field)["flag_contaminants_mask"].values
    assert mask.shape == (96, 1048)
    assert mask[35 - 10, 1899 - 1000]  # SUBSTRIP96 begins at row 10 of SUBSTRIP256
    assert mask[60 - 10, 1015 - 1000]


def test_image_and_lazy_data_give_the_same(part, field):
    field = field.isel(x=slice(800, 1200))
    image = field["rate"].where(~dq.has_flag(field["dq"], *dq.UNUSABLE_RATE)).median("time")
    given = image.drop_vars(["y", "x"])
    loaded = part.tso.flag_contaminants(given)
    lazy = part.chunk(time=1).tso.flag_contaminants(given)
    assert lazy["dq"].chunks is not None
    np.testing.assert_array_equal(lazy["dq"], loaded["dq"])


def test_positions_by_hand(science):
    out = science.tso.flag_contaminants(positions=[(100.0, 50.0)], size=(2, 3), exclude=False)
    mask = out["flag_contaminants_mask"].values > 0
    assert mask.sum() == 5 * 7
    assert mask[47:54, 98:103].all()
    new = dq.has_flag(out["dq"], "DO_NOT_USE") & ~dq.has_flag(science["dq"], "DO_NOT_USE")
    assert not new.any()
    assert dq.has_flag(out["dq"].values[:, mask], "OTHER_BAD_PIXEL").all()


def test_dispersion_along_y(part, field):
    def turn(ds):
        named = ds[["rate", "rate_error", "dq"]].reset_coords(drop=True).rename(x="y", y="x")
        axes = {"spatial_dim": "x", "dispersion_dim": "y", "x_start": 1793, "y_start": 1}
        return named.transpose("time", "y", "x").assign_attrs(axes)

    across = turn(part).tso.flag_contaminants(turn(field))["flag_contaminants_mask"]
    along = part.tso.flag_contaminants(field)["flag_contaminants_mask"]
    np.testing.assert_array_equal(across.values.T, along.values)


def test_nothing_given_changes_nothing(science):
    out = science.tso.flag_contaminants()
    assert "flag_contaminants_mask" not in out
    assert "data unchanged" in out.tso.history[-1]["notes"][0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sigma": 0}, "sigma=0, n_pixels=10"),
        ({"n_pixels": 0}, "n_pixels=0"),
        ({"least_share": -1}, "least_share=-1"),
        ({"size": (0, 3)}, r"size=\(0, 3\)"),
        ({"positions": [(1, 2, 3)]}, r"positions have the shape \(1, 3\)"),
        ({"frame": np.ones((3, 3))}, "frame is ndarray; give rates of another exposure"),
        ({"frame": xr.DataArray(np.ones((3, 3)), dims=("y", "x"))}, "frame is {'y': 3, 'x': 3}"),
    ],
)
def test_wrong_parameters(science, given, message):
    with pytest.raises(ValueError, match=message):
        science.tso.flag_contaminants(**given)


def test_frame_of_another_place_is_refused(science, field):
    with pytest.raises(ValueError, match="no pixels in common"):
        science.tso.flag_contaminants(field.assign_attrs(y_start=1))


def test_plot(part):
    out = part.tso.flag_contaminants(positions=[(900.0, 50.0)])
    assert "pieces" in out.tso.plot.flag_contaminants().get_title()


@pytest.mark.real_data
def test_sources_of_a_real_f277w_frame_are_in_the_clear_frame(real_data_dir):
    from scipy import ndimage

    from tsoxr.kernels.contaminants import compact_sources

    folder = real_data_dir / "niriss_soss"
    found = compact_sources(np.load(folder / "wasp39_soss_f277w_frame.npy"))
    clear = np.load(folder / "wasp39_soss_substrip256_median_frame.npy").astype(float)
    padded = np.pad(clear, ((0, 0), (50, 50)), mode="edge")
    smooth = ndimage.median_filter(padded.ravel(), size=101).reshape(padded.shape)[:, 50:-50]
    excess = clear - smooth
    clusters, n = ndimage.label(found.mask, structure=np.ones((3, 3)))
    assert 20 <= n <= 30
    cores = found.significance > 5
    off_spectra = [i for i in range(1, n + 1) if np.median(smooth[cores & (clusters == i)]) < 8.0]
    assert len(off_spectra) >= 8
    # excess per pixel scatters by 0.3 about zero where there is no source
    seen = [np.median(excess[cores & (clusters == i)]) > 0.3 for i in off_spectra]
    assert np.mean(seen) > 0.85
