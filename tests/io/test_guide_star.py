"""Guide-star series: synthetic files in the layout of the fine-guide products (no real ones)."""

import numpy as np
import pytest
from astropy.io import fits

import tsoxr
from tsoxr.io import guide_star

N = 4000


def write(path, begin, end, moved=(0.0, 0.0), n=N, exp_type="FGS_FINEGUIDE", seed=1, light=1.0):
    """Write a synthetic file: a Gaussian star on 8 by 8 pixels, photon noise, a moving star."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:8, :8]
    dx, dy = (np.broadcast_to(m, n)[:, None, None] for m in moved)
    star = np.exp(-0.5 * ((x - 3.4 - dx) ** 2 + (y - 3.6 - dy) ** 2) / 0.9**2)
    images = 1e4 * np.broadcast_to(light, n)[:, None, None] * star
    images = images + np.sqrt(images + 10) * rng.normal(size=images.shape) + 20
    primary = fits.PrimaryHDU()
    primary.header.update({"EXP_TYPE": exp_type, "DATASTRT": begin, "DATAEND": end})
    fits.HDUList([primary, fits.ImageHDU(images.astype("f4"), name="SCI")]).writeto(path)
    return path


@pytest.fixture(scope="module")
def rates():
    return tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=40, seed=2)


def span(ds):
    begin, end = guide_star._bounds(ds)
    return begin[0], end[-1]


def test_series_has_the_motion_in_arcsec(tmp_path):
    wave = 0.05 * np.sin(np.arange(N) / 200)
    series = guide_star.read_guide_star(
        write(tmp_path / "a.fits", 60000.0, 60000.01, (wave, -wave))
    )
    # photon noise of a centroid 0.9 / sqrt(50000) plus the wings of 64 pixels: 0.02 pixels
    slope = np.polyfit(wave, series["x"].values / guide_star.PIXEL_SCALE, 1)[0]
    assert slope == pytest.approx(1, abs=0.03)
    assert np.corrcoef(series["y"].values, -wave)[0, 1] > 0.9
    assert series.time.attrs["time_scale"] == "utc"


def test_files_are_joined_in_time(tmp_path):
    late = write(tmp_path / "late.fits", 60000.02, 60000.03, n=500)
    early = write(tmp_path / "early.fits", 60000.0, 60000.01, n=500, seed=2)
    series = guide_star.read_guide_star([late, early])
    assert series.sizes["time"] == 1000
    assert (np.diff(series["time"]) > 0).all()


def test_means_over_integrations(tmp_path, rates):
    begin, end = span(rates)
    ramp = np.linspace(-0.1, 0.1, N)
    path = write(tmp_path / "a.fits", begin, end, (ramp, 0.0), light=1 + 0.1 * ramp)
    out = guide_star.add_guide_star(rates, path)
    assert out["jitter_x"].dims == ("time",)
    assert tsoxr.schema.validate(out) == []
    expected = guide_star.PIXEL_SCALE * ramp.reshape(40, 100).mean(axis=1)
    # 100 images to an integration
    assert np.abs(out["jitter_x"].values - expected).max() < 5 * 0.03 * guide_star.PIXEL_SCALE / 10
    assert np.corrcoef(out["guide_star_flux"], expected)[0, 1] > 0.9
    part = guide_star.add_guide_star(rates.isel(time=slice(10, 20)), path)
    np.testing.assert_allclose(part["jitter_x"], out["jitter_x"][10:20], atol=1e-4)


def test_gaps_are_nan_and_outliers_do_not_count(tmp_path, rates):
    begin, end = span(rates)
    jump = np.zeros(N)
    jump[100] = 3.0
    path = write(tmp_path / "a.fits", begin, 0.5 * (begin + end), (jump, 0.0))
    out = guide_star.add_guide_star(rates, path)
    assert np.isnan(out["jitter_x"].values[21:]).all()
    assert np.abs(out["jitter_x"].values[:19]).max() < 1e-3


def test_errors_say_what_to_do(tmp_path, rates):
    other = write(tmp_path / "id.fits", 60000.0, 60000.1, n=5, exp_type="FGS_ID-IMAGE")
    with pytest.raises(tsoxr.TsoError, match="EXP_TYPE='FGS_ID-IMAGE'; it must be"):
        guide_star.read_guide_star(other)
    reverse = write(tmp_path / "r.fits", 60000.1, 60000.0, n=5)
    with pytest.raises(tsoxr.TsoError, match="they must be MJD in ascending order"):
        guide_star.read_guide_star(reverse)
    with pytest.raises(tsoxr.TsoError, match="no file was given"):
        guide_star.read_guide_star([])
    with pytest.raises(tsoxr.TsoError, match="there is no file"):
        guide_star.read_guide_star(tmp_path / "none.fits")
    far = write(tmp_path / "far.fits", 50000.0, 50000.1, n=5)
    with pytest.raises(tsoxr.TsoError, match="give the files of this visit"):
        guide_star.add_guide_star(rates, far)
    with pytest.raises(tsoxr.TsoError, match="no EXPMID"):
        guide_star.add_guide_star(rates.assign_attrs(fits_header="{}"), far)
