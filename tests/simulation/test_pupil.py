"""Diffraction at the pupil against direct sums, published widths and a real weak-lens image."""

import numpy as np
import pytest

from tsoxr.simulation import pupil
from tsoxr.simulation.pupil import STAMP, PointSpread, amplitude, point_spread, wavefront

SHORT, MIRI = 0.0311, 0.1108
MIDDLE = (STAMP // 2, STAMP // 2)
ARCSEC = np.pi / 180 / 3600


def sampled(center, width, scale, defocus=0.0):
    wave = tuple(np.linspace(center - 0.5 * width, center + 0.5 * width, 5))
    return point_spread(wave, (1.0,) * 5, scale, defocus)


def weak_lens():
    return sampled(2.093, 0.205, SHORT, -8 * 2.12)


def whole(spread, place=MIDDLE, **more):
    """Return the image on an array of the stamp's size."""
    return spread.image((STAMP, STAMP), place, rest=MIDDLE, **more)[2]


def test_pupil_is_that_of_the_telescope():
    x = np.linspace(-3.5, 3.5, 701)
    transmission = amplitude(x)
    # 18 hexagons of 1.509 m2 less three struts of 0.11 m over 2 to 2.5 m, within a few edge samples
    assert transmission.sum() * (x[1] - x[0]) ** 2 == pytest.approx(27.16 - 0.75, abs=0.3)
    lit = np.flatnonzero(transmission.sum(axis=1) > 0)
    assert x[lit[-1]] - x[lit[0]] == pytest.approx(5 * 1.327 - 0.007, abs=0.03)
    assert transmission[350, 350] == 0.0
    weight = transmission / transmission.sum()
    path = wavefront(x)
    rms = np.sqrt((weight * (path - (weight * path).sum()) ** 2).sum())
    assert 60e-9 < rms < 100e-9


def test_image_is_the_square_of_the_direct_sum():
    # another grid of the pupil, and 6 x 6 points in each pixel: nothing shared but the pupil
    wave, place = 2.1e-6, (128.3, 127.8)
    x = np.linspace(-3.4, 3.4, 524)
    light = amplitude(x) * np.exp(2j * np.pi / wave * wavefront(x))
    points, weights = np.polynomial.legendre.leggauss(6)
    pixels = np.arange(122, 136)
    fine = (pixels[:, None] + 0.5 * points).ravel()
    wy, wx = (np.exp(-2j * np.pi / wave * np.outer((fine - p) * SHORT * ARCSEC, x)) for p in place)
    intensity = abs(wy @ light @ wx.T) ** 2
    half = 0.5 * weights
    direct = np.einsum("apbq,p,q->ab", intensity.reshape(14, 6, 14, 6), half, half)
    spread = point_spread((2.1,), (1.0,), SHORT)
    image = spread.image((STAMP, STAMP), place)[2][122:136, 122:136]
    # grey edges and gaps: half a per cent of the light leaves for wings beyond both fields
    np.testing.assert_allclose(
        image / image.sum(), direct / direct.sum(), atol=1e-3 * direct.max() / direct.sum(), rtol=0
    )
    step = (x[1] - x[0]) * SHORT * ARCSEC / wave
    total = (abs(light) ** 2).sum() / step**2  # Parseval
    assert image.sum() == pytest.approx(direct.sum() / total, rel=0.01)


@pytest.mark.parametrize(
    ("center", "width", "scale", "known", "within"),
    [
        (2.093, 0.205, SHORT, 0.071, 0.03),  # widths of the instruments' documentation, arcsec
        (1.874, 0.024, SHORT, 0.064, 0.03),
        (12.8, 2.47, MIRI, 0.420, 0.03),
        (15.0, 2.92, MIRI, 0.488, 0.03),
        (18.0, 2.95, MIRI, 0.591, 0.03),
        (7.7, 1.95, MIRI, 0.269, 0.08),  # the detector scatters, which is left out
    ],
)
def test_widths_of_images_are_those_known(center, width, scale, known, within):
    finer = 8
    image = whole(sampled(center, width, scale / finer))
    y, x = np.indices(image.shape)
    r = np.hypot(y - MIDDLE[0], x - MIDDLE[1])
    ring = np.arange(0.0, 60.0)
    profile = np.array([image[abs(r - a) <= 0.6].mean() for a in ring])
    half = np.interp(-0.5 * profile[0], -profile[:50], ring[:50])
    assert 2 * half * scale / finer == pytest.approx(known, rel=within)


@pytest.mark.parametrize("make", [weak_lens, lambda: sampled(15.0, 2.92, MIRI)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.1), (0.5001, 2.7), (-3.3, 0.49)])
def test_shifts_move_all_light_and_lose_none(make, shift):
    spread = make()
    rest = whole(spread)
    moved = whole(spread, tuple(np.add(MIDDLE, shift)))
    assert moved.sum() == pytest.approx(1.0, abs=1e-12)
    assert moved.min() >= 0.0
    for axis in (0, 1):
        # the stamp is periodic: its centroid is the phase of the slowest waves
        before, after = (np.fft.fft(i.sum(axis=1 - axis))[1:6] for i in (rest, moved))
        cycles = np.arange(1, 6)
        found = -np.angle(after / before) * STAMP / (2 * np.pi * cycles)
        np.testing.assert_allclose(found, shift[axis], atol=1e-9)


def test_whole_pixels_shift_as_a_roll_and_nothing_jumps():
    spread = sampled(2.093, 0.205, SHORT)
    rest = whole(spread)
    moved = whole(spread, (MIDDLE[0] + 2, MIDDLE[1] - 3))
    np.testing.assert_allclose(moved, np.roll(rest, (2, -3), axis=(0, 1)), atol=1e-14)
    below, above = (whole(spread, (MIDDLE[0] + 0.5 + d, MIDDLE[1])) for d in (-1e-6, 1e-6))
    assert abs(above - below).max() < 1e-6  # slopes are below 0.1 of the light per pixel
    without_clip = spread.image((STAMP, STAMP), MIDDLE)[2]
    assert without_clip.min() > 1e-12  # folded intensities are positive, so nothing is clipped


def test_centre_of_light_moves_with_the_star():
    # a field of its own, twice the core, where wings do not matter: light within 12 pixels
    spread = sampled(2.093, 0.205, SHORT)
    y = np.arange(STAMP) - MIDDLE[0]
    window = np.exp(-0.5 * (y[:, None] ** 2 + y**2) / 4.0**2)

    def displacement(d):
        image = whole(spread, (MIDDLE[0] + d, MIDDLE[1])) * window
        return (image.sum(axis=1) * y).sum() / image.sum()

    # a window of 4 pixels shortens the shift, but the same way for either direction
    small = displacement(0.01) - displacement(0.0)
    large = displacement(0.05) - displacement(0.0)
    assert large == pytest.approx(5 * small, rel=0.02)
    assert 0.005 < small < 0.0101


def test_array_smaller_than_the_stamp_shows_a_part():
    spread = sampled(2.093, 0.205, SHORT)
    rows, columns, part = spread.image((64, 80), (30, 41))
    assert (rows, columns) == (slice(0, 64), slice(0, 80))
    np.testing.assert_allclose(
        part, whole(spread)[128 - 30 : 128 + 34, 128 - 41 : 128 + 39], atol=1e-15
    )
    assert 0.93 < part.sum() < 0.99  # wings leave the array
    rows, columns, part = spread.image((64, 2048), (34, 1000))
    assert (rows, columns) == (slice(0, 64), slice(872, 1128))


def test_focus_widens_the_image():
    spread = weak_lens()
    y, x = np.indices((STAMP, STAMP))
    r = np.hypot(y - MIDDLE[0], x - MIDDLE[1])
    order = np.argsort(r, axis=None)

    def half_light(image):
        inside = np.cumsum(image.ravel()[order])
        return np.interp(0.5 * inside[-1], inside, r.ravel()[order])

    rest, wide = whole(spread), whole(spread, focus=0.02)
    assert half_light(wide) / half_light(rest) == pytest.approx(1.02, abs=1e-3)
    # light at the stamp's edge, 1e-5 of all per pixel of its rim, moves out by 2.6 pixels
    assert wide.sum() == pytest.approx(1.0, abs=1e-3)
    small = whole(spread, focus=1e-4)
    assert small.sum() == pytest.approx(1.0, abs=5e-6)
    assert small.min() >= 0.0


def test_line_is_the_image_summed_along_x():
    spread = sampled(4.0, 0.1, 0.0629)
    # the integral over a pixel of the line, by the mean of many points
    fine = np.linspace(-0.5, 0.5, 401)
    line = [spread.line(k + fine) for k in (-3.0, 0.0, 1.0)]
    weights = np.ones(401)
    weights[[0, -1]] = 0.5
    line = np.array([(v * weights).sum() / weights.sum() for v in line])
    rows = whole(spread).sum(axis=1)
    np.testing.assert_allclose(line, rows[[125, 128, 129]], rtol=1e-5)


def test_spread_of_known_transfer():
    # one wave: 1 + cos, made by hand
    transfer = np.zeros((3, 2), dtype=complex)
    transfer[1, 0], transfer[1, 1] = 1.0, 0.5
    image = whole(PointSpread(transfer), (128.0, 100.25))
    x = np.arange(STAMP)
    expected = 1 + 0.5 * np.sinc(1 / STAMP) * np.cos(2 * np.pi * (x - 100.25) / STAMP)
    np.testing.assert_allclose(image, np.broadcast_to(expected / STAMP**2, image.shape), rtol=1e-12)


def test_finer_sampling_of_the_pupil_changes_little(monkeypatch):
    rough = point_spread((2.1,), (1.0,), SHORT, -16.96)
    monkeypatch.setattr(pupil, "FIELD", 4 * STAMP)
    fine = point_spread.__wrapped__((2.1,), (1.0,), SHORT, -16.96)
    a, b = whole(rough), whole(fine)
    # the wider field holds another half per cent of light, and folds it back
    assert abs(a - b).max() < 0.02 * a.max()


def test_stamps_differ_by_what_they_fold():
    small = sampled(2.093, 0.205, SHORT)
    wave = tuple(np.linspace(1.9905, 2.1955, 5))
    large = point_spread(wave, (1.0,) * 5, SHORT, 0.0, 512)
    middle = (256.2, 255.9)
    image = large.image((512, 512), middle, rest=(256, 256))[2]
    assert image.sum() == pytest.approx(1.0, abs=1e-12)
    folded = image.reshape(2, 256, 2, 256).sum(axis=(0, 2))
    np.testing.assert_allclose(
        folded, np.roll(whole(small, (128.2, 127.9)), (-128, -128), axis=(0, 1)), atol=1e-12
    )


def test_both_ways_to_the_image_agree():
    spread = weak_lens()
    for shape, place in (((90, 300), (31.7, 140.2)), ((STAMP, STAMP), (127.9, 128.4))):
        fast = spread.image(shape, place)[2]
        # a change of focus of 1e-13 goes by the direct sums
        np.testing.assert_allclose(spread.image(shape, place, 1e-13)[2], fast, atol=1e-13)


@pytest.mark.real_data
def test_weak_lens_has_the_size_of_a_real_one(real_data_dir):
    h5py = pytest.importorskip("h5py")
    name = "eureka_stage3_nircam_f210m_weaklens_wasp39_SpecData.h5"
    with h5py.File(real_data_dir / "formats" / name) as file:
        real = np.nan_to_num(file["medflux"][:].astype(float))
    real -= np.median(real)
    profiles, radii = [], []
    for image in (real, whole(weak_lens())):
        y, x = np.indices(image.shape)
        bright = np.clip(image - 0.02 * np.percentile(image, 99.9), 0.0, None)
        cy, cx = (bright * y).sum() / bright.sum(), (bright * x).sum() / bright.sum()
        r = np.hypot(y - cy, x - cx)
        edges = np.arange(0.0, 85.0, 4.0)
        inside = np.array([image[r < a].sum() for a in np.arange(1.0, 86.0)])
        inside /= inside[-1]
        radii.append([np.interp(q, inside, np.arange(1.0, 86.0)) for q in (0.3, 0.5, 0.8, 0.9)])
        profiles.append([image[(r >= a) & (r < a + 4)].mean() for a in edges])
    # the lens is known to a per cent or two, its image is 60 pixels in radius
    np.testing.assert_allclose(radii[1], radii[0], atol=1.2)
    assert radii[1][3] == pytest.approx(61.0, abs=3.0)
    assert np.corrcoef(profiles)[0, 1] > 0.95
