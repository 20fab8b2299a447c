"""Clocks of the read-out against frame times published by the observatory."""

import numpy as np
import pytest

import tsoxr
from tsoxr.io import read_offset, readout

NIR = {
    "instrument": "NIRSPEC",
    "fast_dim": "y",
    "slow_dim": "x",
    "fast_direction": 1,
    "slow_direction": 1,
}


def test_first_pixel_and_clock_of_a_column():
    offset = read_offset({**NIR, "n_outputs": 1}, 32, 2048)
    assert offset.dims == ("y", "x")
    assert offset.dtype == np.float32
    assert offset.attrs["units"] == "s"
    # along a line one sample per 10 us, from line to line (32 + 12) samples; float32: 6e-8 relative
    np.testing.assert_allclose(offset[:3, 0], [0.0, 1e-5, 2e-5], rtol=1e-6)
    np.testing.assert_allclose(np.diff(offset[0, :3]), 44e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("ny", "nx", "n_outputs", "fast", "frame_time"),
    [
        (32, 2048, 1, "y", 0.90200),  # NIRSpec SUB2048
        (32, 512, 1, "y", 0.22616),  # NIRSpec SUB512
        (256, 2048, 1, "y", 5.49400),  # NIRISS SUBSTRIP256
        (96, 2048, 1, "y", 2.21400),  # NIRISS SUBSTRIP96
        (64, 2048, 1, "x", 1.35960),  # NIRCam SUBGRISM64, one output
        (256, 2048, 4, "x", 1.34669),  # NIRCam SUBGRISM256, four outputs
    ],
)
def test_last_pixel_is_read_before_the_frame_ends(ny, nx, n_outputs, fast, frame_time):
    slow = "x" if fast == "y" else "y"
    attrs = {**NIR, "fast_dim": fast, "slow_dim": slow, "n_outputs": n_outputs}
    last = float(read_offset(attrs, ny, nx).max())
    n_fast = ny if fast == "y" else nx
    line = (n_fast / n_outputs + 12) * 1e-5
    assert (
        frame_time - 3.01 * line < last < frame_time
    )  # up to two empty lines and the overhead follow


def test_direction_turns_the_order():
    forward = read_offset({**NIR, "n_outputs": 1}, 8, 16)
    backward = read_offset(
        {**NIR, "n_outputs": 1, "fast_direction": -1, "slow_direction": -1}, 8, 16
    )
    np.testing.assert_array_equal(backward, forward[::-1, ::-1])


def test_four_outputs_read_at_once_in_alternating_directions():
    attrs = {**NIR, "instrument": "NIRCAM", "fast_dim": "x", "slow_dim": "y", "n_outputs": 4}
    line = read_offset(attrs, 4, 2048)[0].values * 1e5
    np.testing.assert_allclose(
        line[[0, 511, 512, 1023, 1024, 2047]], [0, 511, 511, 0, 0, 0], atol=0.1
    )


def test_miri_interleaves_four_columns():
    attrs = {
        **NIR,
        "instrument": "MIRI",
        "fast_dim": "x",
        "slow_dim": "y",
        "subarray": "SLITLESSPRISM",
    }
    offset = read_offset(attrs, 416, 72).values * 1e5
    np.testing.assert_allclose(offset[0, :9], [0, 0, 0, 0, 1, 1, 1, 1, 2], atol=1e-3)
    np.testing.assert_allclose(offset[1:3, 0], [28, 56], atol=1e-3)
    assert offset.max() < 15904


def test_miri_row_clocks_follow_from_the_frame_time():
    known = {
        **NIR,
        "instrument": "MIRI",
        "fast_dim": "x",
        "slow_dim": "y",
        "subarray": "SLITLESSPRISM",
    }
    unknown = {**known, "subarray": "SOMETHING", "frame_time": 0.15904}
    np.testing.assert_array_equal(read_offset(known, 416, 72), read_offset(unknown, 416, 72))
    with pytest.raises(
        tsoxr.SchemaError, match="row clocks of MIRI subarray 'SOMETHING' are not known"
    ):
        read_offset({**known, "subarray": "SOMETHING"}, 416, 72)


def test_missing_roles_are_named():
    with pytest.raises(tsoxr.SchemaError, match=r"attributes \['slow_dim'\] are missing"):
        read_offset({k: v for k, v in NIR.items() if k != "slow_dim"}, 8, 8)


@pytest.mark.parametrize(
    ("header", "n_fast", "n_slow", "expected"),
    [
        ({"NOUTPUTS": 1, "TFRAME": 1.34669}, 2048, 256, 1),
        ({"TFRAME": 1.34669}, 2048, 256, 4),
        ({"TFRAME": 5.31480}, 2048, 256, 1),
        ({"TFRAME": 5.49400}, 256, 2048, 1),
        ({"TFRAME": 10.73677}, 2048, 2048, 4),
        ({}, 2048, 2048, 1),
        ({"INSTRUME": "MIRI"}, 72, 416, 4),
    ],
)
def test_outputs_from_keyword_or_frame_time(header, n_fast, n_slow, expected):
    assert readout.n_outputs(header, n_fast, n_slow) == expected


def test_group_times_with_averaged_and_dropped_frames():
    times = readout.group_time(3, frame_time=2.0, n_frames=4, group_gap=1, dropped=2)
    # frames 3-6, 8-11, 13-16 after the reset, 2 s each
    np.testing.assert_allclose(times, [9.0, 19.0, 29.0])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"TFRAME": 0.22616, "NGROUPS": 5}, 1.35696),  # 5 groups and the reset
        (
            {"TFRAME": 1.34669, "NGROUPS": 12, "NFRAMES": 4, "GROUPGAP": 1},
            1.34669 * (1 + 4 + 11 * 5),
        ),
        ({"EFFINTTM": 47.7}, 47.7),
        ({}, None),
    ],
)
def test_integration_interval(header, expected):
    assert readout.integration_interval(header) == (pytest.approx(expected) if expected else None)


@pytest.mark.parametrize(
    ("attrs", "shape", "expected"),
    [
        ({"instrument": "NIRISS", "x_start": 1, "y_start": 1793}, (256, 2048), 4 * 2048 + 8 * 252),
        ({"instrument": "NIRISS", "x_start": 1, "y_start": 1803}, (96, 2048), 8 * 96),
        ({"instrument": "NIRSPEC", "x_start": 1025, "y_start": 959}, (32, 512), 0),
        ({"instrument": "MIRI", "x_start": 1, "y_start": 529}, (416, 72), 4 * 416),
        ({"instrument": "NIRSPEC"}, (32, 512), 0),
    ],
)
def test_frame_of_reference_pixels(attrs, shape, expected):
    assert readout.reference_pixels(attrs, *shape).sum() == expected
