"""The step `noise_ratio`: channels, white light with shared errors, bins, summary."""

import functools

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.history import records
from tsoxr.kernels.noise_ratio import relative_error
from tsoxr.steps import noise_ratio

N_TIME, N_WAVE = 240, 60


@functools.cache
def simulated():
    return tsoxr.simulate("nirspec-prism", kind="spectra", n_integrations=N_TIME, seed=1)


def spectra(*, seed=0, shared=0.0, factor=1.0, curve=1.0):
    """Spectra of constant light with errors of 1 % and an error that all wavelengths share."""
    rng = np.random.default_rng(seed)
    light = np.linspace(500.0, 1500.0, N_WAVE)
    own, common = 0.01 * light, shared * light
    values = light * np.reshape(curve, (-1, 1)) + factor * (
        own * rng.normal(size=(N_TIME, N_WAVE)) + common * rng.normal(size=(N_TIME, 1))
    )
    made = simulated().isel(wavelength=slice(100, 100 + N_WAVE)).drop_vars("in_transit")
    made["flux"] = made.flux.copy(data=values.astype("f4"))
    error = np.broadcast_to(np.hypot(own, common), values.shape)
    made["flux_error"] = made.flux_error.copy(data=error.astype("f4"))
    made["dq"] = xr.zeros_like(made.dq)
    if shared:
        made["level_error"] = (("wavelength", "level_mode"), common[:, None].astype("f4"))
    return made


@pytest.mark.parametrize("factor", [1.0, 1.4])
def test_ratio_of_channels_and_white_light(factor):
    found = noise_ratio(spectra(factor=factor))
    own = relative_error(np.array(N_TIME - 2))
    assert float(found.noise_ratio.mean()) == pytest.approx(factor, rel=5 * own / np.sqrt(N_WAVE))
    assert float(found.noise_ratio_white) == pytest.approx(factor, rel=4 * own)
    assert float(found.noise_ratio_white_error) == pytest.approx(factor * own, rel=0.3)
    assert found.bin_size.values.tolist() == [1, 2, 4, 8, 16]
    xr.testing.assert_equal(found.noise_ratio_binned[0].drop_vars("bin_size"), found.noise_ratio)


def test_shared_errors_enter_the_white_light():
    # shared errors of 0.5 %: 0.51 % for the sum, where independent ones alone give 0.14 %
    made = spectra(shared=0.005)
    own = relative_error(np.array(N_TIME - 2))
    assert float(noise_ratio(made).noise_ratio_white) == pytest.approx(1.0, abs=4 * own)
    assert float(noise_ratio(made.drop_vars("level_error")).noise_ratio_white) > 2.5


def test_slow_noise_shows_in_bins():
    drift = 1 + 0.004 * np.sin(np.arange(N_TIME) / 6)  # in white light 3 errors of one point
    found = noise_ratio(spectra(curve=drift))
    assert float(found.noise_ratio.median()) == pytest.approx(1.0, abs=0.03)
    assert float(found.noise_ratio_white_binned[-1]) > 4
    table = found.tso.summary()
    white = table[table.quantity.str.contains("white light")]
    assert white.look.tolist() == ["", "<--"]


def test_a_transit_that_is_marked_does_not_count():
    bottom = (
        20 * np.clip(np.cos((np.arange(N_TIME) - 120) / 60), 0, 1) ** 2
    )  # errors of white light
    made = spectra(curve=1 - 0.0014 * bottom)
    marked = made.assign_coords(in_transit=("time", bottom > 0))
    open_, closed = (noise_ratio(d) for d in (made, marked))
    assert float(open_.noise_ratio_white_binned[-1]) > 3
    n = N_TIME - (bottom > 0).sum()
    assert float(closed.noise_ratio_error.median()) == pytest.approx(
        relative_error(np.array(n - 4)), rel=0.1
    )
    assert float(closed.noise_ratio_white_binned[:3].max()) < 1 + 4 * relative_error(
        np.array(n // 4)
    )


def test_flagged_points_do_not_count():
    made = spectra()
    bad = np.zeros(made.dq.shape, bool)
    bad[::9, ::4] = True
    flagged = made.assign(
        flux=made.flux.where(~bad, 1e6), dq=made.dq.copy(data=np.where(bad, 1, 0).astype("u4"))
    )
    a, b = noise_ratio(made), noise_ratio(flagged)
    assert float(b.noise_ratio.max()) < 1 + 5 * relative_error(np.array(N_TIME // 2))
    assert (b.noise_ratio_error[::4].values > a.noise_ratio_error[::4].values).mean() > 0.9


def test_light_curves_and_a_second_run_with_other_sizes():
    curves = spectra().tso.bin(n_pixels=10)
    found = noise_ratio(noise_ratio(curves), sizes=[3, 5])
    assert found.bin_size.values.tolist() == [1, 3, 5]
    assert found.noise_ratio_binned.shape == (3, 6)
    assert "noise_ratio_white" not in found
    white = noise_ratio(spectra().tso.white_light())
    assert white.noise_ratio.shape == (1,)
    assert "white light" in " ".join(white.tso.summary().quantity)


def test_errors_of_the_mode_are_the_scatter():
    # simulated spectra with their own noise: the median of 400 channels is known to 0.4 %
    made = testing.example("spectra", "miri-lrs")
    assert float(noise_ratio(made).noise_ratio.median()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("sizes", [[0, 2], [1.5], [], [100]])
def test_sizes_out_of_range(sizes):
    with pytest.raises(ValueError, match="noise_ratio: sizes="):
        noise_ratio(spectra(), sizes=sizes)


def test_all_integrations_count_where_few_are_out_of_transit():
    made = spectra().isel(time=slice(0, 30))
    marked = made.assign_coords(in_transit=("time", np.arange(30) % 25 > 3))
    for name in ("noise_ratio", "noise_ratio_white"):
        np.testing.assert_array_equal(noise_ratio(marked)[name], noise_ratio(made)[name])


def test_few_integrations_give_nan_and_a_note():
    found = noise_ratio(spectra().isel(time=slice(0, 6)))
    assert np.isnan(found.noise_ratio).all()
    assert "in_transit is not marked" in records(found.attrs)[-1]["notes"][0]
    assert not found.tso.summary().quantity.str.contains("scatter over error").any()
