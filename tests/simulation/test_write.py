"""Raw files and reference files have the archive's form and the exposure's bytes."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import tsoxr
from tsoxr.simulation import asdf_text, exposure, headers, keywords
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.write_references import REFERENCE_TYPES

COLUMNS = [
    "integration_number", "int_start_MJD_UTC", "int_mid_MJD_UTC", "int_end_MJD_UTC",
    "int_start_BJD_TDB", "int_mid_BJD_TDB", "int_end_BJD_TDB",
]  # fmt: skip
KEYWORDS = [
    "TELESCOP",
    "INSTRUME",
    "DETECTOR",
    "EXP_TYPE",
    "READPATT",
    "FILTER",
    "NINTS",
    "NGROUPS",
    "NFRAMES",
    "GROUPGAP",
    "NSAMPLES",
    "TSAMPLE",
    "TFRAME",
    "TGROUP",
    "EFFINTTM",
    "EFFEXPTM",
    "DURATION",
    "NRESETS",
    "ZEROFRAM",
    "NOUTPUTS",
    "EXPSTART",
    "EXPMID",
    "EXPEND",
    "EXSEGNUM",
    "EXSEGTOT",
    "INTSTART",
    "INTEND",
    "SUBARRAY",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "FASTAXIS",
    "SLOWAXIS",
    "TARGNAME",
    "TARG_RA",
    "TARG_DEC",
    "TSOVISIT",
    "DATE-OBS",
    "TIME-OBS",
    "PROGRAM",
    "OBSERVTN",
    "VISIT",
    "NRSTSTRT",
    "FRMDIVSR",
    "DATE-BEG",
    "DATE-END",
    "VISITYPE",
    "BARTDELT",
    "BSTRTIME",
    "BENDTIME",
    "APERNAME",
]


def raw(paths, name="SCI"):
    return np.concatenate([fits.getdata(p, name) for p in paths])


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_files_hold_the_ramps_however_they_are_cut(mode, tmp_path):
    each = exposure(mode, seed=1, n_integrations=7, n_groups=3)
    one = each.write(tmp_path / "one")
    three = each.write(tmp_path / "three", n_segments=3)
    expected = each.ramps()["ramp"].values
    assert expected.dtype == np.uint16
    np.testing.assert_array_equal(raw(one), expected)
    np.testing.assert_array_equal(raw(three), expected)
    assert [fits.getdata(p, "SCI").shape[0] for p in three] == [3, 2, 2]


def test_name_and_headers(tmp_path):
    each = exposure("nirspec-prism", seed=1, n_integrations=5)
    paths = each.write(tmp_path, n_segments=2)
    assert [p.name for p in paths] == [
        "jw01234001001_04101_00001-seg001_nrs1_uncal.fits",
        "jw01234001001_04101_00001-seg002_nrs1_uncal.fits",
    ]
    with fits.open(paths[1]) as hdus:
        hdus.verify("exception")
        header, science = hdus[0].header, hdus["SCI"].header
        assert [h.name for h in hdus] == ["PRIMARY", "SCI", "GROUP", "INT_TIMES", "ASDF"]
        assert header["NEXTEND"] == 4
        missing = [k for k in KEYWORDS if k not in header]
        assert missing == []
        assert (header["EXSEGNUM"], header["EXSEGTOT"]) == (2, 2)
        assert (header["INTSTART"], header["INTEND"], header["NINTS"]) == (4, 5, 5)
        assert (header["FASTAXIS"], header["SLOWAXIS"]) == (2, 1)
        assert (header["TFRAME"], header["NGROUPS"]) == (0.22616, 5)
        assert (header["SUBSIZE1"], header["SUBSIZE2"]) == (512, 32)
        assert (science["BITPIX"], science["BUNIT"]) == (16, "DN")
        assert hdus["SCI"].data.dtype == np.uint16


def test_axes_of_miri(tmp_path):
    path = exposure("miri-lrs", n_integrations=2, n_groups=2).write(tmp_path)[0]
    header = fits.getheader(path)
    assert (header["FASTAXIS"], header["SLOWAXIS"], header["NOUTPUTS"]) == (1, 2, 4)
    assert header["TFRAME"] == 0.15904
    assert header["EXP_TYPE"] == "MIR_LRS-SLITLESS"
    assert header["TSOVISIT"] is True


def test_time_tables(tmp_path):
    each = exposure("nirspec-prism", n_integrations=6)
    paths = each.write(tmp_path, n_segments=2)
    table = np.concatenate([fits.getdata(p, "INT_TIMES") for p in paths])
    assert list(table.dtype.names) == COLUMNS
    np.testing.assert_array_equal(table["integration_number"], np.arange(1, 7))
    spacing = 86400 * np.diff(table["int_mid_MJD_UTC"])
    np.testing.assert_allclose(spacing, 6 * 0.22616, atol=2e-6)
    np.testing.assert_array_equal(table["int_mid_BJD_TDB"], each.ramps()["time"].values)
    groups = fits.getdata(paths[1], "GROUP")
    assert len(groups) == 15
    np.testing.assert_array_equal(groups["group_number"][:6], [1, 2, 3, 4, 5, 1])
    assert groups["group_end_time"][0].startswith("2023-09-13T00:00:04.5")
    # the last pixel of the last group is read one frame after the first
    end = table["int_end_MJD_UTC"][-1] + each.clock.frame_time / 86400
    # the table counts microseconds; a day has a float64 spacing of 0.6 microseconds
    assert 86400 * (ends_of(groups)[-1] - end) == pytest.approx(0.0, abs=4e-6)


def ends_of(groups):
    """Return the end of each group as the telescope's counters give it, MJD."""
    milliseconds = groups["end_milliseconds"] + 1e-3 * groups["end_submilliseconds"]
    return 51544 + groups["end_day"].astype(float) + milliseconds / 86400e3


def test_groups_of_averaged_frames(tmp_path):
    each = exposure(
        "nirspec-prism", n_integrations=3, n_groups=4, read_pattern="NRS", brightness=0.1
    )
    path = each.write(tmp_path)[0]
    groups, header = fits.getdata(path, "GROUP"), fits.getheader(path)
    frame = 0.22616
    assert (header["NFRAMES"], header["FRMDIVSR"], header["GROUPGAP"]) == (4, 4, 0)
    assert header["TGROUP"] == pytest.approx(4 * frame)
    # a reset, then four frames for each of four groups; the first frame ends after two
    frames = np.arange(3)[:, None] * 17 + 4 * np.arange(1, 5) + 1
    seconds = 86400 * (ends_of(groups) - each.start)
    np.testing.assert_allclose(seconds, (frames * frame).ravel(), atol=4e-6)
    assert set(groups["number_of_columns"]) == {512}
    assert set(groups["number_of_rows"]) == {32}
    assert set(groups["completion_code_text"]) == {"COMPLETE"}
    delay = 86400 * (groups["bary_end_time"] - ends_of(groups))
    np.testing.assert_allclose(delay, header["BARTDELT"], atol=0.01)


def test_barycentric_times_of_the_header(tmp_path):
    path = exposure("nirspec-prism", n_integrations=3).write(tmp_path)[0]
    header, times = fits.getheader(path), fits.getdata(path, "INT_TIMES")
    assert header["BSTRTIME"] == times["int_start_BJD_TDB"][0]
    assert header["BENDTIME"] == times["int_end_BJD_TDB"][-1]
    assert header["BARTDELT"] == pytest.approx(
        86400 * (times["int_start_BJD_TDB"][0] - times["int_start_MJD_UTC"][0]), abs=1e-6
    )


def test_the_same_exposure_gives_the_same_files(tmp_path):
    each = exposure("nirspec-prism", seed=4, n_integrations=2, n_groups=2)
    one, two = each.write(tmp_path / "one")[0], each.write(tmp_path / "two")[0]
    assert one.read_bytes() == two.read_bytes()


def leaves(tree, before=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def test_asdf_extension_says_what_the_header_says(tmp_path):
    path = exposure("nirspec-prism", n_integrations=3, n_groups=2).write(tmp_path, n_segments=2)[0]
    with fits.open(path) as hdus:
        table = hdus["ASDF"]
        assert (len(table.data), table.columns.names) == (1, ["ASDF_METADATA"])
        text = table.data["ASDF_METADATA"].tobytes().decode("ascii")
        cards = dict(hdus["SCI"].header) | dict(hdus[0].header)
    assert text.startswith("#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n")
    assert text.endswith("...\n")
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the document")

    class Reader(yaml.SafeLoader):
        pass

    Reader.add_multi_constructor("", lambda loader, _, node: loader.construct_mapping(node, True))
    tree = yaml.load(text, Reader)
    assert tree["data"]["source"] == "fits:SCI,1"
    assert tree["data"]["shape"] == [2, 2, 32, 512]
    assert tree["int_times"]["shape"] == [2]
    names = [column["name"] for column in tree["int_times"]["datatype"]]
    assert names == COLUMNS
    said = dict(leaves(tree["meta"]))
    assert said == {p: cards[k] for k, p in keywords.PATHS.items() if k in cards}


def test_numbers_of_a_document():
    # YAML 1.1 takes 1e-05 for a word
    tree = {"a": 1e-05, "b": 2.5e22, "c": -1.0, "d": True, "e": float("nan"), "f": 'say "x"'}
    text = asdf_text.document(tree)
    assert 'a: 1.0e-05\nb: 2.5e+22\nc: -1.0\nd: true\ne: .nan\nf: "say \\"x\\""\n' in text


def test_every_keyword_has_a_place_in_the_document():
    each = exposure("nirspec-prism", n_integrations=2, n_groups=2)
    segment = headers.segments(2, 1)[0]
    cards = headers.primary_cards(each, segment) | headers.science_cards(each)
    assert set(cards) - set(keywords.PATHS) == {"FILETYPE", "EXTNAME"}


def test_fifth_output_of_miri(tmp_path):
    each = exposure("miri-lrs", seed=2, n_integrations=3, n_groups=2)
    paths = each.write(tmp_path, n_segments=2)
    with fits.open(paths[0]) as hdus:
        assert [h.name for h in hdus] == [
            "PRIMARY", "SCI", "REFOUT", "GROUP", "INT_TIMES", "ASDF",
        ]  # fmt: skip
        assert hdus["SCI"].data.shape == (2, 2, 416, 72)
    fifth = raw(paths, "REFOUT")
    assert fifth.dtype == np.uint16
    assert fifth.shape == (3, 2, 416, 18)
    electronics = Electronics(each)
    expected = [np.rint(electronics.reference_output(i)) for i in range(3)]
    np.testing.assert_array_equal(fifth, expected)


def test_truth_stands_beside_the_files(tmp_path):
    each = exposure("nirspec-prism", n_integrations=4)
    each.write(tmp_path)
    with xr.open_dataset(tmp_path / "truth.nc") as truth:
        xr.testing.assert_identical(truth.load(), each.truth(stripes=False))


def test_too_many_segments(tmp_path):
    with pytest.raises(
        ValueError, match="n_segments is 5; it must lie between 1 and the 4 integrations"
    ):
        exposure("nirspec-prism", n_integrations=4).write(tmp_path, n_segments=5)


def test_memory_does_not_grow_with_the_exposure(tmp_path):
    def peak(n_integrations):
        each = exposure("nirspec-prism", n_integrations=n_integrations, n_groups=4)
        each.write(tmp_path / "warm")
        tracemalloc.start()
        each.write(tmp_path / str(n_integrations))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    more = peak(60) - peak(15)
    # 45 integrations of 4 groups are 5.9 MB raw; light curves and tables may grow
    assert more < 2.5e6


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_reference_files(mode, tmp_path):
    each = exposure(mode, seed=1, n_integrations=2)
    paths = dict(zip(REFERENCE_TYPES, each.write_references(tmp_path), strict=True))
    for kind, path in paths.items():
        with fits.open(path) as hdus:
            hdus.verify("exception")
            header = hdus[0].header
            assert header["REFTYPE"] == kind.upper()
            assert header["SUBSIZE1"] == each.setup.shape[1]
            for keyword in ("INSTRUME", "DETECTOR", "SUBARRAY", "SUBSTRT1", "FASTAXIS", "SLOWAXIS"):
                assert keyword in header, f"{kind} lacks {keyword}"
    np.testing.assert_array_equal(fits.getdata(paths["linearity"], "COEFFS"), each.maps.linearity)
    np.testing.assert_array_equal(fits.getdata(paths["mask"], "DQ"), each.maps.dq)
    np.testing.assert_allclose(
        fits.getdata(paths["readnoise"], "SCI"), np.sqrt(2) * each.maps.read_noise, rtol=1e-6
    )
    dark = fits.getdata(paths["dark"], "SCI")
    assert dark.ndim == (4 if mode == "miri-lrs" else 3)
    assert fits.getdata(paths["gain"], "SCI").dtype.kind == "f"


def of_kind(folder, kind, extension="SCI"):
    (path,) = folder.glob(f"*_{kind}_*.fits")
    return fits.getdata(path, extension)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    each = exposure("nirspec-prism", seed=1, n_integrations=2)
    folder = tmp_path_factory.mktemp("measured")
    each.write_references(folder, errors=True)
    return each, folder


def test_measured_superbias_and_read_noise(measured):
    each, folder = measured
    off = of_kind(folder, "superbias") - each.maps.superbias
    error = of_kind(folder, "superbias", "ERR")
    expected = np.sqrt(20.0**2 + each.maps.read_noise**2 + 3.5**2 + 1.5**2) / 10.0
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    # kTC and white noise make 97 % of the variance and are independent in 16384 pixels: the
    # standard deviation is known to 0.55 %, and the rest, common to lines, adds up to 1.7 %
    assert np.std(off / error) == pytest.approx(1.0, abs=0.03)
    # a standard deviation of 100 values is known to 1/sqrt(198) = 7 %; 1/f and pedestal of
    # two reads come on top: 1.5 DN, and about as much as the 3.5 DN within a frame, to 5.6
    ratio = of_kind(folder, "readnoise") / (np.sqrt(2) * each.maps.read_noise)
    assert np.median(ratio) == pytest.approx(np.sqrt(1 + (3.5**2 + 1.5**2) / 5.6**2), rel=0.05)
    spread = 0.5 * (np.quantile(ratio, 0.841) - np.quantile(ratio, 0.159)) / np.median(ratio)
    assert spread == pytest.approx(1 / np.sqrt(198), abs=0.015)


def test_measured_gain_linearity_and_flat(measured):
    each, folder = measured
    science = each.setup.science & (each.maps.response > 0)
    gain = of_kind(folder, "gain") / each.maps.gain
    assert np.ptp(gain) < 1e-6
    assert 0 < abs(gain.flat[0] - 1) < 0.04
    flat = of_kind(folder, "flat")[science] / each.maps.response[science]
    # 16384 pixels: a standard deviation to 0.55 %
    assert flat.std() == pytest.approx(0.003, rel=0.03)
    np.testing.assert_allclose(
        of_kind(folder, "flat", "ERR"), 0.003 * np.where(science, each.maps.response, 1), rtol=1e-5
    )
    bend = of_kind(folder, "linearity", "COEFFS") / np.where(
        each.maps.linearity, each.maps.linearity, 1
    )
    assert bend[2].std() == pytest.approx(0.005, rel=0.03)
    np.testing.assert_allclose(bend[2], bend[3], atol=1e-6)
    np.testing.assert_array_equal(bend[1], 1.0)


def test_some_bad_pixels_are_missed(measured):
    each, folder = measured
    mask = of_kind(folder, "mask", "DQ")
    bad, known = each.maps.dq > 0, mask > 0
    assert not np.any(known & ~bad)
    n = bad.sum()
    # one in ten: binomial, five sigma
    assert abs((bad & ~known).sum() - 0.1 * n) < 5 * np.sqrt(0.09 * n)
    assert (bad & ~known).any()


def test_measured_references_follow_from_the_seed(measured, tmp_path):
    each, folder = measured
    for path in each.write_references(tmp_path, errors=True):
        assert path.read_bytes() == (folder / path.name).read_bytes()
    other = tmp_path / "other"
    each.replace(seed=2).write_references(other, errors=True)
    assert of_kind(other, "gain").flat[0] != of_kind(folder, "gain").flat[0]
    assert "measured" in fits.getheader(next(folder.glob("*_gain_*")))["DESCRIP"]


def test_measured_references_serve_the_steps(measured):
    each, folder = measured
    dark = of_kind(folder, "dark", "ERR")
    assert np.all(np.isfinite(dark))
    assert np.all(dark > 0)
    quiet = each.replace(noise=tuple(each.sources - {"one_over_f", "pedestal", "hits"}))
    rates = quiet.replace(references=False).ramps().tso.use_references(folder)
    for name in ("flag_saturation", "subtract_bias", "linearize", "fit_ramps"):
        rates = getattr(tsoxr.steps, name)(rates)
    exact = quiet.replace(noise=tuple(quiet.sources - {"photon", "read"})).rates()
    good = (exact["rate"] > 0.05 * exact["rate"].max()) & (quiet.maps.dq == 0)
    good &= np.isfinite(rates["rate"])
    light = exact["rate"].where(good).sum().item()
    electrons = light * quiet.setup.constants.gain * 4 * quiet.clock.group_interval
    # photon noise of all light, 2e-4, and errors of 0.5 % in a correction of 2 % that differ
    # from pixel to pixel; the gain does not enter
    ratio = rates["rate"].where(good).sum().item() / light
    assert ratio == pytest.approx(1.0, abs=6 / np.sqrt(electrons))
