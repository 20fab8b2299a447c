"""Modes: found by header, complete, and overridden by a user's table."""

import numpy as np
import pytest

import tsoxr
from tsoxr import modes, testing, trees


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ({"EXP_TYPE": "NRS_BRIGHTOBJ", "GRATING": "PRISM"}, "nirspec-prism"),
        ({"EXP_TYPE": "NRS_BRIGHTOBJ", "GRATING": "G395H"}, "nirspec-g395h"),
        ({"EXP_TYPE": "NIS_SOSS"}, "niriss-soss"),
        ({"EXP_TYPE": "NRC_TSGRISM"}, "nircam-grism"),
        ({"EXP_TYPE": "NRC_TSIMAGE"}, "nircam-imaging"),
        ({"EXP_TYPE": "MIR_LRS-SLITLESS"}, "miri-lrs"),
        ({"EXP_TYPE": "MIR_IMAGE"}, "miri-imaging"),
    ],
)
def test_header_gives_the_mode(header, name):
    assert modes.match(header).name == name


def test_other_exposures_have_no_mode():
    assert modes.match({"EXP_TYPE": "NRS_IFU"}) is None


def test_all_modes_have_constants_for_their_detectors():
    for name in modes.names():
        for detector in modes.get(name).detectors:
            constants = modes.detector(detector)
            assert 1 < constants.gain < 6
            assert 2 < constants.read_noise < 15
            assert 40000 < constants.saturation < 65536


def test_every_default_belongs_to_a_step_and_has_a_reason():
    steps = trees.registered()
    for name in modes.names():
        for step, defaults in modes.get(name).step_defaults.items():
            assert step in steps, f"{name}.{step}"
            for parameter, default in defaults.items():
                assert parameter in steps[step].parameters, f"{name}.{step}.{parameter}"
                assert len(default.reason) > 15, f"{name}.{step}.{parameter} lacks its reason"


def test_unknown_names_suggest():
    with pytest.raises(tsoxr.ModeError, match="did you mean 'nirspec-prism'"):
        modes.get("nirspec-prizm")
    with pytest.raises(tsoxr.ModeError, match="no constants for detector 'NRS9'"):
        modes.detector("NRS9")


def test_a_users_table_overrides_and_is_checked(tmp_path):
    table = tmp_path / "mine.toml"
    table.write_text(
        '[nirspec-prism.extract]\nhalf_width = {value = 2.5, reason = "tested on my star"}\n'
    )
    with tsoxr.set_options(modes=str(table)):
        frame = testing.example("rates").tso.defaults("extract")
        assert frame.loc["half_width", "mode"] == 2.5
        assert frame.loc["half_width", "reason"] == "tested on my star"
    table.write_text("[nirspec-prizm.extract]\nhalf_width = 2.5\n")
    with tsoxr.set_options(modes=str(table)), pytest.raises(tsoxr.ModeError, match="nirspec-prizm"):
        testing.example("rates").tso.defaults("extract")
    with (
        tsoxr.set_options(modes=str(tmp_path / "none.toml")),
        pytest.raises(tsoxr.ModeError, match="there is no file"),
    ):
        modes.names()


def test_table_has_one_row_per_mode():
    assert [row["mode"] for row in modes.table()] == list(modes.names())


def test_reads_of_each_mode_are_its_subarrays():
    for name in modes.names():
        mode = modes.get(name)
        assert set(mode.reads) == set(mode.subarrays), name


def test_frame_times_for_planning_are_those_of_the_simulator():
    from tsoxr import simulation

    for name, subarray, outputs in (
        ("nirspec-prism", "SUB512S", None),
        ("niriss-soss", "SUBSTRIP96", None),
        ("nircam-grism", "SUBGRISM128", 1),
        ("nircam-grism", "SUBGRISM128", 4),
        ("nircam-imaging", "SUB400P", None),
        ("miri-lrs", "SLITLESSPRISM", None),
        ("miri-imaging", "BRIGHTSKY", None),
    ):
        clock = simulation.exposure(name, subarray=subarray, n_outputs=outputs).clock
        rows = [r for r in modes.timing(name) if r["subarray"] == subarray]
        row = next(r for r in rows if r["n_outputs"] == clock.readout.n_outputs)
        assert row["frame_time"] == pytest.approx(clock.frame_time, abs=1e-9)
        assert row["line_time"] == pytest.approx(clock.readout.line_clocks * 1e-5, abs=1e-9)
        assert row["saturation"] == modes.detector(row["detector"]).saturation


def test_dispersion_for_planning():
    first, second, third = modes.dispersion("niriss-soss")
    assert (first["setting"], second["setting"]) == ("niriss-soss/1", "niriss-soss/2")
    assert first["first"] == pytest.approx(0.85, abs=0.01)
    assert first["last"] == pytest.approx(2.83, abs=0.01)
    # published: 0.67 nm per pixel of G395H, 1 nm of the NIRCam grism (10 Angstrom)
    nrs1 = modes.dispersion("nirspec-g395h")[0]
    assert nrs1["um_per_pixel"][1] == pytest.approx(6.7e-4, rel=0.02)
    assert modes.dispersion("nircam-grism")[0]["um_per_pixel"][1] == pytest.approx(1e-3, rel=0.04)
    for row in (first, second, third, nrs1):
        middle = 0.5 * (row["first"] + row["last"])
        assert row["pixel_pairs"][1] == pytest.approx(middle / 2 / row["um_per_pixel"][1], rel=0.06)
        assert row["basis"]
    assert modes.dispersion("miri-imaging") == []
    with pytest.raises(tsoxr.ModeError, match="did you mean 'niriss-soss'"):
        modes.timing("niriss-sos")


def test_options_are_checked():
    with pytest.raises(TypeError, match="did you mean 'progress'"):
        tsoxr.set_options(progres=False)
    with pytest.raises(ValueError, match="chunk_mb is 0"):
        tsoxr.set_options(chunk_mb=0)


def test_throughput_where_it_is_known():
    rows = {row["setting"]: row for name in modes.names() for row in modes.throughput(name)}
    assert {key.split("/")[0] for key in rows} == {"niriss-soss", "nircam-grism"}
    # published by the instrument's team: a peak of 55 % at 1.2 um
    assert rows["niriss-soss/1"]["peak"] == pytest.approx(0.55, abs=0.01)
    assert rows["niriss-soss/1"]["peak_wavelength"] == pytest.approx(1.2)
    for row in rows.values():
        assert (np.diff(row["wavelength"]) > 0).all()
        assert 0 < row["peak"] < 1
        assert row["above_half"][0] < row["peak_wavelength"] < row["above_half"][1]
        seen = {r["setting"]: r for r in modes.dispersion(row["setting"].split("/")[0])}
        low, high = seen[row["setting"]]["first"], seen[row["setting"]]["last"]
        assert low - 0.1 < row["peak_wavelength"] < high
    assert not rows["nircam-grism/F322W2"]["absolute"]
    assert modes.throughput("nirspec-prism") == []
    with pytest.raises(tsoxr.ModeError, match="did you mean 'miri-lrs'"):
        modes.throughput("miri-lsr")


@pytest.mark.real_data
def test_throughput_is_that_of_the_flight_reference(real_data_dir):
    from astropy.io import fits

    path = real_data_dir / "niriss_soss" / "jwst_niriss_spectrace_0023.fits"
    for row in modes.throughput("niriss-soss"):
        table = fits.getdata(path, int(row["setting"][-1]))
        rank = np.argsort(table["WAVELENGTH"])
        wave, true = table["WAVELENGTH"][rank], table["THROUGHPUT"][rank]
        inside = (wave >= row["wavelength"][0]) & (wave <= row["wavelength"][-1])
        ours = np.interp(wave[inside], row["wavelength"], row["efficiency"])
        bright = true[inside] > 0.05 * true.max()
        assert np.abs(ours / true[inside] - 1)[bright].max() < row["accuracy"]
