"""Modes: found by header, complete, and overridden by a user's table."""

import pytest

import tsoxr
from tsoxr import modes, registry, testing


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
    steps = registry.discover()
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


def test_options_are_checked():
    with pytest.raises(TypeError, match="did you mean 'progress'"):
        tsoxr.set_options(progres=False)
    with pytest.raises(ValueError, match="chunk_mb is 0"):
        tsoxr.set_options(chunk_mb=0)
