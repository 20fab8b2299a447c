"""Attributes from headers; exposures that are no time series are refused."""

import json

import numpy as np
import pytest

import tsoxr
from tsoxr import schema

RATE = np.ones((4, 8, 16), np.float32)


def test_attributes_of_an_exposure(tmp_path, make):
    ds = tsoxr.open(make.rateints(tmp_path / "a.fits", RATE, n_total=9, sci={"DISPAXIS": 1}))
    expected = {
        "tso_kind": "rates", "tso_mode": "nirspec-prism", "instrument": "NIRSPEC", "detector": "NRS1",
        "subarray": "SUB512", "exp_type": "NRS_BRIGHTOBJ", "target": "STAR", "spatial_dim": "y",
        "dispersion_dim": "x", "fast_dim": "y", "slow_dim": "x", "fast_direction": 1, "slow_direction": 1,
        "frame_time": 0.22616, "group_interval": 0.22616, "n_groups": 5, "n_frames": 1, "group_gap": 0,
        "n_integrations": 9, "n_outputs": 1, "gain_factor": 1.429, "x_start": 1025, "y_start": 959,
        "tso_history": "[]",
    }  # fmt: skip
    assert {k: ds.attrs[k] for k in expected} == expected
    assert json.loads(ds.attrs["tso_source"]) == [str(tmp_path / "a.fits")]
    assert schema.validate(ds) == []
    assert set(expected) <= set(schema.ATTRIBUTES)


def test_all_cards_are_kept(tmp_path, make):
    path = make.rateints(
        tmp_path / "a.fits", RATE, sci={"PHOTMJSR": 2.5}, S_RAMP="COMPLETE", HISTORY="x"
    )
    header = tsoxr.open(path).tso.header
    assert header["PRIMARY"]["S_RAMP"] == "COMPLETE"
    assert header["PRIMARY"]["TSOVISIT"] is True
    assert header["SCI"]["PHOTMJSR"] == 2.5
    assert "HISTORY" not in header["PRIMARY"]


@pytest.mark.parametrize(
    ("fast", "slow", "expected"),
    [
        (2, 1, ("y", "x", 1, 1)),
        (-2, -1, ("y", "x", -1, -1)),
        (-1, 2, ("x", "y", -1, 1)),
        (1, -2, ("x", "y", 1, -1)),
    ],
)
def test_axes_follow_from_signed_keywords(tmp_path, make, fast, slow, expected):
    ds = tsoxr.open(make.rateints(tmp_path / "a.fits", RATE, FASTAXIS=fast, SLOWAXIS=slow))
    names = ("fast_dim", "slow_dim", "fast_direction", "slow_direction")
    assert tuple(ds.attrs[n] for n in names) == expected
    corner = {d: 0 if s > 0 else -1 for d, s in zip(expected[:2], expected[2:], strict=True)}
    assert float(ds["read_offset"].isel(corner)) == 0.0


def test_missing_axes_are_an_error(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE, FASTAXIS=0)
    with pytest.raises(tsoxr.SchemaError, match=r"a.fits: FASTAXIS=0, SLOWAXIS=1 do not say"):
        tsoxr.open(path)


def test_dispaxis_against_the_mode(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE, sci={"DISPAXIS": 2})
    with pytest.warns(
        tsoxr.TsoWarning, match="DISPAXIS says that the dispersion runs along y, mode nirspec-prism"
    ):
        assert tsoxr.open(path).attrs["dispersion_dim"] == "y"


def test_unknown_mode_opens_with_a_warning(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE, GRATING="MIRROR")
    with pytest.warns(tsoxr.TsoWarning, match="none of tsoxr's modes, and no DISPAXIS"):
        ds = tsoxr.open(path)
    assert "tso_mode" not in ds.attrs


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        (
            {"EXP_TYPE": "NRS_FIXEDSLIT", "TSOVISIT": False},
            r"not a time series \(EXP_TYPE='NRS_FIXEDSLIT', TSOVISIT=False",
        ),
        (
            {"EXP_TYPE": "NRS_WATA", "NINTS": 1},
            r"a single integration of a time-series visit .*target acquisition",
        ),
        ({"SUBARRAY": "SUB17STRIPE_SOSS"}, "is read in stripes"),
        ({"TELESCOP": "HST"}, "TELESCOP='HST'.*tsoxr reads JWST products"),
        ({"REFTYPE": "GAIN"}, r"a reference file \(REFTYPE='GAIN'\).*use_references"),
    ],
)
def test_what_is_refused(tmp_path, make, cards, message):
    path = make.rateints(tmp_path / "a.fits", RATE, **cards)
    with pytest.raises(tsoxr.SchemaError, match=f"a.fits: .*{message}"):
        tsoxr.open(path)


def test_one_integration_and_one_group_open_where_the_type_is_a_series(tmp_path, make):
    ds = tsoxr.open(
        make.uncal(tmp_path / "a.fits", np.ones((1, 1, 8, 16), np.uint16), TSOVISIT=False)
    )
    assert dict(ds.sizes) == {"time": 1, "group": 1, "y": 8, "x": 16}


def test_other_types_open_where_the_visit_is_a_series(tmp_path, make):
    cards = {
        "INSTRUME": "MIRI",
        "DETECTOR": "MIRIMAGE",
        "EXP_TYPE": "MIR_IMAGE",
        "SUBARRAY": "SUB64",
        "FASTAXIS": 1,
        "SLOWAXIS": 2,
    }
    ds = tsoxr.open(make.rateints(tmp_path / "a.fits", RATE, **cards))
    assert ds.attrs["tso_mode"] == "miri-imaging"
    assert ds.attrs["n_outputs"] == 1  # NOUTPUTS of the header wins


def test_gain_scaling_is_remembered(tmp_path, make):
    assert (
        tsoxr.open(make.rateints(tmp_path / "a.fits", RATE, S_GANSCL="COMPLETE")).attrs[
            "gain_scaled"
        ]
        == 1
    )
    assert (
        "gain_scaled"
        not in tsoxr.open(make.rateints(tmp_path / "b.fits", RATE, S_GANSCL="SKIPPED")).attrs
    )
