"""A real frame as the scene: its light comes back, moves without loss and varies with the planet."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tsoxr.errors import TsoWarning
from tsoxr.simulation import SETUPS, Telescope, exposure
from tsoxr.simulation.real_frame import _translated
from tsoxr.simulation.telescope import AT_REST, Pose


def some_frame(mode="nirspec-prism", **given):
    """Return a frame, DN/s, that is no model's: a noisy ridge beside the modelled trace."""
    plain = exposure(mode, noise=(), n_integrations=1, **given)
    n_y, n_x = plain.setup.shape
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:n_y, :n_x]
    across, along, n = (y, x, n_x) if plain.setup.dispersion_dim == "x" else (x, y, n_y)
    middle = 0.5 * min(n_y, n_x) + 1.5
    ridge = 400.0 * np.exp(-0.5 * ((across - middle) / 2.0) ** 2) * np.sin(np.pi * along / n) ** 2
    frame = (ridge + 20.0) * rng.uniform(0.9, 1.1, (n_y, n_x))
    return np.where(plain.setup.science, frame, 0.0)


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_frame_and_light_curve_come_back(mode):
    frame = some_frame(mode)
    each = exposure(mode, frame=frame, noise=(), n_integrations=25)
    ramp = each.ramps()["ramp"].values.astype(float)
    span = (each.n_groups - 1) * each.clock.group_interval
    rate = (ramp[:, -1] - ramp[:, 0]) / span
    science = each.setup.science
    # float32 of 4e4 DN over a few seconds
    np.testing.assert_allclose(rate[0][science], frame[science], rtol=3e-5, atol=3e-3)
    truth = each.truth(stripes=False)
    axis = 1 if each.setup.spatial_dim == "y" else 2
    spectrum = rate.sum(axis=axis)[:, each.component.pixel]
    star = truth["stellar_spectrum"].values / each.setup.constants.gain
    white = spectrum.sum(axis=1) / star.sum()
    # 1 ppm; 1e4 float32 pixels of 1e-7 each average to less
    np.testing.assert_allclose(white, truth["white_flux"].values, rtol=0, atol=1e-6)
    bright = star > 0.1 * star.max()
    np.testing.assert_allclose(
        (spectrum / star)[:, bright], truth["flux"].values[:, bright], atol=3e-6
    )
    assert truth["white_flux"].min() < 0.991


def test_static_part_stays():
    frame = some_frame()
    each = exposure(
        "nirspec-prism", frame=frame, frame_static=np.full(frame.shape, 10.0), noise=(),
        n_integrations=25,
    )  # fmt: skip
    plain = exposure("nirspec-prism", frame=frame, noise=(), n_integrations=25)
    ramp, all_star = each.ramps()["ramp"], plain.ramps()["ramp"]
    rate = (ramp[:, -1] - ramp[:, 0]).sum("y").values[:, each.component.pixel]
    whole = (all_star[:, -1] - all_star[:, 0]).sum("y").values[:, each.component.pixel]
    np.testing.assert_allclose(rate[0], whole[0], rtol=1e-6)
    dip, full = 1 - rate[12] / rate[0], 1 - whole[12] / whole[0]
    column = frame.sum(axis=0)[each.component.pixel]
    # the float32 steps of a column are 1e-6 of it, of a dip of 1e-2
    np.testing.assert_allclose(dip / full, 1 - 10.0 * 32 / column, rtol=2e-3)


def test_brightness_scales_the_star():
    frame = some_frame()
    each = exposure("nirspec-prism", frame=frame, frame_static=0.1 * frame, brightness=0.5)
    gain, lit = each.setup.constants.gain, each.component.pixel
    np.testing.assert_allclose(each.scene.star[:, lit] / gain, 0.45 * frame[:, lit], rtol=1e-6)
    constant = each.scene.contaminants / gain
    np.testing.assert_allclose(constant[:, lit], 0.1 * frame[:, lit], rtol=1e-6)
    dark = np.setdiff1d(np.arange(512), lit)  # no wavelength falls there: constant light
    np.testing.assert_allclose(constant[:, dark], 0.55 * frame[:, dark], rtol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.3, 1.0, -2.25, 3.6])
def test_translation_conserves_light_and_moves_the_centroid(shift):
    pixel = np.arange(60)
    image = np.exp(-0.5 * ((pixel - 29.3) / 3.0) ** 2)[None] * np.ones((2, 1))
    moved = _translated(image, np.full(2, shift))
    np.testing.assert_allclose(moved.sum(axis=1), image.sum(axis=1), rtol=1e-13)
    assert moved.min() >= 0
    centre = (moved * pixel).sum(axis=1) / moved.sum(axis=1)
    # exact where the slopes are central; the limiter acts in the faint wings only
    np.testing.assert_allclose(centre, 29.3 + shift, atol=2e-3)
    exact = np.exp(-0.5 * ((pixel - 29.3 - shift) / 3.0) ** 2)
    assert abs(moved[0] - exact).max() < 0.02  # of a peak of 1


def test_nothing_becomes_negative_next_to_a_spike():
    image = np.zeros((1, 9))
    image[0, 4] = 1.0
    for shift in (0.1, -0.1, 0.9):
        moved = _translated(image, np.array([shift]))
        assert moved.min() >= 0
        assert moved.sum() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
@pytest.mark.parametrize(
    "pose", [Pose(across=0.2), Pose(along=-0.3), Pose(0.02, 0.01, 1e-4, 0.01), Pose(focus=-0.005)]
)
def test_moved_frame_keeps_its_light(mode, pose):
    light = exposure(mode, frame=some_frame(mode), noise=(), n_integrations=1).component
    shape = exposure(mode, noise=(), n_integrations=1).setup.shape
    one, none = np.ones(light.wavelength.size), np.zeros(light.wavelength.size)
    rest, moved = np.zeros(shape), np.zeros(shape)
    light.paint(rest, one, none, AT_REST)
    light.paint(moved, one, none, pose)
    assert moved.sum() == pytest.approx(rest.sum(), rel=1e-12)
    assert abs(moved - rest).max() > 1e-4 * rest.max()
    if pose.along:
        np.testing.assert_allclose(light.shifted(pose.along).sum(), rest.sum(), rtol=1e-12)


def test_frame_moves_with_the_telescope():
    own = Telescope(jitter_drift=0.0, jitter=0.0, drift_across=600.0)
    given = {"frame": some_frame(), "radius_ratio": 0.0, "n_integrations": 4}
    each = exposure("nirspec-prism", noise=("jitter",), telescope=own, **given)
    ramp = each.ramps()["ramp"]
    image = (ramp[:, -1] - ramp[:, 0]).values[:, :, 250]
    y = np.arange(32)
    centre = (image * y).sum(axis=1) / image.sum(axis=1)
    shift = each.motion.across[:, 1:].mean(axis=1)
    # all light moves but for that of the last row, which cannot leave
    moves = 1.0 - image[0, -1] / image[0].sum()
    np.testing.assert_allclose(np.diff(centre), moves * np.diff(shift), rtol=0.01)


def test_orders_share_each_pixel(monkeypatch):
    """Two orders on one frame: their light adds up to it, each with its own curve."""
    from dataclasses import replace

    from tsoxr.simulation import setups
    from tsoxr.simulation.instruments import Spectrograph

    own = setups.SETUPS["nirspec-prism"]

    def two_orders(choice):
        made = own(choice)
        first = made.optics.traces[0]
        second = replace(
            first,
            order=2,
            center=lambda p: first.center(p) + 9.0 * np.cos(p / 160.0),
            wavelength=lambda p: 0.5 * first.wavelength(p),
            width=first.width,
            throughput=lambda w: 0.3 * first.throughput(2.0 * w),
        )
        return replace(made, optics=Spectrograph((first, second)))

    monkeypatch.setitem(setups.SETUPS, "nirspec-prism", two_orders)
    depth = xr.DataArray([0.05, 0.15], dims="wavelength", coords={"wavelength": [0.3, 5.5]})
    frame = some_frame()
    each = exposure("nirspec-prism", frame=frame, noise=(), n_integrations=9, radius_ratio=depth)
    first, second = each.scene.components
    light = sum(p.share()[:, 300] * p.spectrum[p.pixel == 300] for p in (first, second))
    np.testing.assert_allclose(light / each.setup.constants.gain, frame[:, 300], rtol=1e-6)
    assert 0.1 < second.spectrum.sum() / first.spectrum.sum() < 1
    ramp = each.ramps()["ramp"].values.astype(float)
    light = (ramp[:, -1] - ramp[:, 0])[:, :, :]
    flux = [each.truth(stripes=False)["flux"].values[4]]
    flux.append(each.replace(order=2).truth(stripes=False)["flux"].values[4])
    expected = each.scene.contaminants.copy()
    for part, curve in zip((first, second), flux, strict=True):
        expected[:, part.pixel] += part.share()[:, part.pixel] * part.spectrum * curve
    span = (each.n_groups - 1) * each.clock.group_interval * 1.0
    measured = light[4] / span * each.setup.constants.gain
    # the delays of pixels within a column differ from the mean by 3e-4 s: no change of flux
    np.testing.assert_allclose(measured, expected, rtol=5e-5, atol=0.01)


def test_bad_frames_are_refused_or_repaired():
    frame = some_frame()
    with pytest.raises(
        ValueError, match=r"frame has shape \(32, 511\); SUB512 of nirspec-prism has"
    ):
        exposure("nirspec-prism", frame=frame[:, 1:])
    with pytest.raises(ValueError, match="frame is negative in all pixels"):
        exposure("nirspec-prism", frame=-1 - frame)
    with pytest.raises(ValueError, match="frame_static is given without frame"):
        exposure("nirspec-prism", frame_static=frame)
    with pytest.raises(ValueError, match="frame has no pixel above 0"):
        exposure("nirspec-prism", frame=frame, frame_static=frame)
    broken = frame.copy()
    broken[5, 100:103], broken[20, 7] = np.nan, -3.0
    with pytest.warns(TsoWarning) as said:
        each = exposure("nirspec-prism", frame=broken)
    text = " ".join(str(w.message) for w in said)
    assert "frame has 3 pixels that are not finite" in text
    assert "frame has 1 negative pixels" in text
    star = each.scene.star / each.setup.constants.gain
    np.testing.assert_allclose(star[5, 101], frame[3:8, 99:104].mean(), rtol=0.2)
    assert star[20, 7] == 0
    labelled = xr.DataArray(frame.T, dims=("x", "y"))
    turned = exposure("nirspec-prism", frame=labelled).scene.star
    np.testing.assert_array_equal(turned, exposure("nirspec-prism", frame=frame).scene.star)


@pytest.mark.real_data
@pytest.mark.skipif("niriss-soss" not in SETUPS, reason="the simulator has no NIRISS SOSS")
@pytest.mark.filterwarnings("ignore::tsoxr.errors.TsoWarning")
def test_wasp39_frame_is_read_out_again(real_data_dir):
    folder = real_data_dir / "niriss_soss"
    frame = np.load(folder / "wasp39_soss_substrip256_median_frame.npy")
    each = exposure(
        "niriss-soss", frame=frame, noise=(), n_integrations=3, n_groups=4, radius_ratio=0.15
    )
    ramp = each.ramps()["ramp"].values.astype(float)
    span = (each.n_groups - 1) * each.clock.group_interval
    rate = (ramp[:, -1] - ramp[:, 0]) / span
    science = each.setup.science
    # the transit is in the middle: the first integration is the star alone
    np.testing.assert_allclose(rate[0][science].sum(), frame[science].clip(0).sum(), rtol=1e-4)
    lit = science & (frame > 50)
    ratio = rate[1][lit] / rate[0][lit]
    dip = each.truth(stripes=False)["white_flux"].values
    assert np.median(ratio) == pytest.approx(dip[1] / dip[0], abs=1e-3)


@pytest.mark.real_data
@pytest.mark.skipif("niriss-soss" not in SETUPS, reason="the simulator has no NIRISS SOSS")
def test_frame_with_background_removed_is_clipped(real_data_dir):
    frame = np.load(real_data_dir / "niriss_soss" / "wasp39_soss_f277w_frame.npy")
    with pytest.warns(TsoWarning, match=r"frame has 2\d{5} negative pixels; set to 0"):
        each = exposure(
            "niriss-soss", frame=frame, filter="F277W", noise=(), n_integrations=2, n_groups=3,
            radius_ratio=0.0,
        )  # fmt: skip
    ramp = each.ramps()["ramp"].values.astype(float)
    rate = (ramp[1, -1] - ramp[1, 0]) / (2 * each.clock.group_interval)
    science = each.setup.science
    np.testing.assert_allclose(rate[science], frame[science].clip(0), rtol=1e-4, atol=1e-3)


@pytest.mark.real_data
@pytest.mark.skipif("niriss-soss" not in SETUPS, reason="the simulator has no NIRISS SOSS")
@pytest.mark.filterwarnings("ignore::tsoxr.errors.TsoWarning")
def test_stripes_on_the_real_frame_are_removed(real_data_dir):
    """1/f noise is added to WASP-39's frame; what stays of it is what its pixels allow."""
    script = Path(__file__).parents[2] / "docs" / "examples" / "real_frame.py"
    spec = importlib.util.spec_from_file_location("real_frame", script)
    real_frame = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real_frame)
    frame = np.load(real_data_dir / "niriss_soss" / "wasp39_soss_substrip256_median_frame.npy")
    each = real_frame.read_out(frame)  # twelve integrations with a transit of 2 %
    left, pictures = real_frame.measured(each)

    # what photons, reads and the drift within a column allow: the plain mean of the dark pixels,
    # and the mean of all with their inverse variances, which is the oracle
    inner = slice(4, -4)  # columns without reference pixels
    weight = real_frame.weights(each, each.replace(n_integrations=1).ramps()).values[:, inner]
    plain = (pictures["mask"].values[:, inner] & (weight > 0)).astype(float)
    variance = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)
    drift = [each.added_by_electronics(number).values for number in (1, 6, 12)]
    drift = np.stack([(ramp[-1] - ramp[0])[:, inner].astype(float) for ramp in drift])
    allowed = {}
    for name, each_pixel in (("mean", plain), ("oracle", weight)):
        part = each_pixel / each_pixel.sum(axis=0)
        within = (drift * part).sum(axis=1) - drift.mean(axis=1)
        allowed[name] = np.sqrt((variance * part**2).sum(axis=0).mean() + within.var())

    # 7 DN of stripes against levels known to 0.9 DN: an eighth stays with the best estimate
    assert left["none"] > 5 * left["oracle"]
    # the scene is the median of twelve integrations and the drift above that of three: 10 %
    assert left["mean (default)"] / left["oracle"] < 1.1 * allowed["mean"] / allowed["oracle"]
    # all pixels, with a scene that had to be measured
    assert left["scaled"] < 1.1 * left["oracle"]
