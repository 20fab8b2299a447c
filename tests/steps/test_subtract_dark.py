"""Dark: subtracted exactly, its photons still in the error."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing
from tsoxr.simulation import Exposure
from tsoxr.steps.subtract_dark import SIGNAL

SHAPE = (32, 64)
DARK = "nth_integration"


def with_dark(ds, values, dims=("group", "y", "x")):
    array = xr.DataArray(np.asarray(values, "f4"), dims=dims)
    return ds.assign(dark=schema.label(array, "ramps", "dark"))


def rates_of_dark(n_groups=5, rate=40.0):
    return rate * 0.5 * np.arange(1, n_groups + 1)[:, None, None] * np.ones((n_groups, *SHAPE))


def test_dark_is_subtracted_and_its_rate_kept(small):
    dark = rates_of_dark() * np.linspace(0.1, 2, 64)
    out = with_dark(small.ramps(np.full(SHAPE, 100.0), offset=dark), dark).tso.subtract_dark()
    clean = small.ramps(np.full(SHAPE, 100.0))
    # float32 counts of 500: rounding of 3e-5 on both sides
    np.testing.assert_allclose(out["ramp"], clean["ramp"], atol=1e-4)
    np.testing.assert_allclose(
        out["dark_rate"], 40.0 * np.linspace(0.1, 2, 64) + 0 * out["dark_rate"], rtol=1e-5
    )
    np.testing.assert_allclose(out[SIGNAL], dark[-1], rtol=1e-6)


def test_first_integrations_have_darks_of_their_own(small):
    dark = np.stack([3 * rates_of_dark(), 2 * rates_of_dark(), rates_of_dark()])
    ds = with_dark(small.ramps(n_time=6), dark, (DARK, "group", "y", "x"))
    number = xr.DataArray(np.arange(2, 8, dtype="i4"), dims="time")
    out = ds.assign_coords(integration=number).tso.subtract_dark()
    taken = -out["ramp"].isel(group=-1, y=0, x=0).values
    np.testing.assert_allclose(taken, [200, 100, 100, 100, 100, 100], rtol=1e-6)
    assert "no coordinate 'integration'" in small.notes(ds.tso.subtract_dark())


def test_pixels_without_dark_are_flagged_and_kept(small):
    dark = rates_of_dark()
    dark[2, 3, 4] = np.nan
    out = with_dark(small.ramps(offset=1000.0), dark).tso.subtract_dark()
    assert (out["ramp"][:, :, 3, 4] == 1000.0).all()
    flagged = dq.has_flag(out["dq_pixel"], "UNRELIABLE_DARK")
    assert int(flagged.sum()) == 1
    assert bool(flagged[3, 4])
    assert float(out["dark_rate"][3, 4]) == 0.0


def test_noise_of_the_dark_stays_in_the_errors(small):
    """Poisson noise of 200 DN/s of dark, gain 1.5, read noise 1 DN: predicted as measured."""
    gain, rate = 1.5, 200.0
    rng = np.random.default_rng(3)
    charge = rng.poisson(rate * 0.5 * gain, (40, 5, *SHAPE)).cumsum(axis=1) / gain
    counts = charge + rng.normal(0, 1.0, charge.shape)
    ds = with_dark(small.ramps(n_time=40, offset=counts), rates_of_dark(rate=rate))
    fit = {"gain": gain, "read_noise": 1.0}
    fitted = ds.tso.subtract_dark().tso.fit_ramps(**fit)
    measured = float(fitted["rate"].std("time", ddof=1).pipe(lambda s: np.sqrt((s**2).mean())))
    # 2048 pixels of 40: known to 0.25 %; weights are 1.6 % noisy through the median rates
    assert float(fitted["rate_error"].mean()) == pytest.approx(measured, rel=0.02)
    # without the dark's photons the read noise alone would be predicted, sqrt(1 / 5) of it or so
    blind = ds.tso.subtract_dark().drop_vars("dark_rate").tso.fit_ramps(**fit)
    assert float(blind["rate_error"].mean()) < 0.6 * measured
    assert fitted["dark_rate"].attrs["units"] == "DN s-1"


def test_errors_are_the_same_before_and_after(small):
    """A rate that is light or dark has the same photons."""
    ds = with_dark(small.ramps(np.full(SHAPE, 300.0)), rates_of_dark(rate=100.0))
    fit = {"gain": 1.5, "read_noise": 5.0}
    before, after = ds.tso.fit_ramps(**fit), ds.tso.subtract_dark().tso.fit_ramps(**fit)
    np.testing.assert_allclose(after["rate"], before["rate"] - 100.0, rtol=1e-5)
    np.testing.assert_allclose(after["rate_error"], before["rate_error"], rtol=1e-5)


@pytest.mark.parametrize("errors", [False, True])
@pytest.mark.parametrize(
    ("mode", "subarray", "n"),
    [("nirspec-prism", None, 5), ("miri-lrs", None, 6), ("niriss-soss", "SUBSTRIP96", 3)],
)
def test_slope_bias_with_exact_and_with_noisy_reference(tmp_path, mode, subarray, n, errors):
    """The bias is the reference's own error over the ramp, and nothing else."""
    quiet = Exposure(
        mode=mode,
        subarray=subarray,
        n_integrations=2,
        n_groups=n,
        noise=("dark",),
        seed=4,
        radius_ratio=1e-6,
        feature_depth=0.0,
    )
    noisy = quiet.replace(noise=("dark", "read"))
    noisy.write_references(tmp_path, errors=errors)
    ds = quiet.ramps().tso.use_references(tmp_path, types=("dark",))
    light = quiet.replace(noise=()).ramps()
    time = ds["group_time"] - ds["group_time"].mean()

    def slope(ramp):
        return (ramp.astype("f8") * time).sum("group") / (time**2).sum()

    bias = (slope(ds.tso.subtract_dark()["ramp"]) - slope(light["ramp"])).isel(time=0)
    science, constants = quiet.setup.science, quiet.maps
    weight = (time / (time**2).sum()).values[:, None, None]
    if errors:
        # the mean of 100 darks: in each group read noise, less for averaged frames, and photons
        counts = ds["group_time"].values[:, None, None] * constants.dark / constants.gain
        one = (
            constants.read_noise.astype(float) ** 2 / quiet.clock.n_frames + counts / constants.gain
        )
        expected = np.sqrt((weight**2 * one / 100).sum(axis=0)[science])
        # z of n independent pixels: their rms is 1 within (2 n)^-1/2
        z = bias.values[science] / expected
        assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=4.0 / np.sqrt(2 * z.size))
        assert not bias.values[~science].any() or np.abs(bias.values[~science]).max() < 5e-3
    else:  # float32 counts of up to 4e4: 2e-3 in each group
        rms = float(np.sqrt((bias**2).mean()))
        assert rms < 5e-3 / float(np.sqrt((time**2).sum()))


def test_dark_of_another_subarray_or_detector(tmp_path):
    soss = Exposure(mode="niriss-soss", subarray="SUBSTRIP96", n_integrations=1, n_groups=2)
    prism = Exposure(mode="nirspec-prism", n_integrations=1)
    paths = {p.name.split("_")[2]: p for p in soss.write_references(tmp_path)}
    with pytest.raises(
        tsoxr.SchemaError, match="this dark is of detector NIS, the exposure of NRS1"
    ):
        prism.ramps().tso.use_references({"dark": paths["dark"]})
    whole = soss.replace(subarray="SUBSTRIP256").ramps()
    with pytest.raises(tsoxr.SchemaError, match=r"this dark covers y = .* give a file that covers"):
        whole.tso.use_references({"dark": paths["dark"]})


def test_bad_input(small):
    ds = small.ramps().assign(dark=(("y", "x"), np.zeros(SHAPE, "f4")))
    with pytest.raises(
        tsoxr.SchemaError, match=r"'dark' has dims \('y', 'x'\); it must have 'group'"
    ):
        ds.tso.subtract_dark()
    done = with_dark(small.ramps(), rates_of_dark()).tso.subtract_dark()
    with pytest.raises(tsoxr.TsoError, match="already applied"):
        done.tso.subtract_dark()


def test_without_reference_unchanged_with_a_note(small):
    ds = small.ramps(offset=10.0)
    out = ds.tso.subtract_dark()
    assert out["ramp"].identical(ds["ramp"])
    assert "data unchanged, the dark current stays" in small.notes(out)


def test_one_group(small):
    dark = rates_of_dark(1)
    out = with_dark(small.ramps(n_groups=1, offset=20.0), dark).tso.subtract_dark()
    assert (out["ramp"] == 0.0).all()
    assert "is not carried" in small.notes(out)


def test_contract(small):
    ds = with_dark(small.ramps(small.trace()), rates_of_dark())
    testing.check_step("subtract_dark", ds)
    two = np.stack([rates_of_dark(), 2 * rates_of_dark()])
    testing.check_step("subtract_dark", with_dark(small.ramps(), two, (DARK, "group", "y", "x")))
    testing.check_step("fit_ramps", ds.tso.subtract_dark(), gain=1.5)
