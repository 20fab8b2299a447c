"""The archive's own data models accept the files, and find in them what was written.

Everything that the models would warn of is an error here.
"""

import io

import pytest
from astropy.io import fits

from tsoxr.simulation import SETUPS, exposure
from tsoxr.simulation.keywords import PATHS
from tsoxr.simulation.write_references import REFERENCE_TYPES

STORAGE = {"SIMPLE", "BITPIX", "EXTEND", "NEXTEND", "XTENSION", "PCOUNT", "GCOUNT", "BSCALE",
           "BZERO", "EXTNAME", "FILETYPE", *(f"NAXIS{n}" for n in ("", 1, 2, 3, 4))}  # fmt: skip
CHOICES = [
    *((mode, {}) for mode in SETUPS),
    ("nirspec-prism", {"subarray": "SUB512S"}),
    ("nirspec-g395h", {"detector": "NRS2"}),
    ("niriss-soss", {"subarray": "SUBSTRIP96"}),
    ("niriss-soss", {"filter": "F277W"}),
    ("nircam-grism", {"subarray": "SUBGRISM128", "filter": "F444W", "n_outputs": 1}),
    ("nircam-grism", {"read_pattern": "SHALLOW4"}),
    ("miri-imaging", {"subarray": "SUB64"}),
]
MODELS = {
    "superbias": "SuperBiasModel", "linearity": "LinearityModel", "saturation": "SaturationModel",
    "gain": "GainModel", "readnoise": "ReadnoiseModel", "mask": "MaskModel", "dark": "DarkModel",
    "flat": "FlatModel",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _strict(monkeypatch):
    monkeypatch.setenv("STRICT_VALIDATION", "1")


def name_of(choice):
    return "-".join([choice[0], *(str(v) for v in choice[1].values())])


@pytest.fixture(scope="module", params=CHOICES, ids=name_of)
def written(request, tmp_path_factory):
    mode, options = request.param
    folder = tmp_path_factory.mktemp("files")
    each = exposure(mode, seed=1, n_integrations=2, n_groups=2, **options)
    return each, each.write(folder, n_segments=2), each.write_references(folder / "refs")


def schema_paths(model):
    """Return the path below meta of each keyword, by extension."""
    from stdatamodels import schema

    found = {}

    def collect(part, path, *_):
        if "fits_keyword" in part and path[0] == "meta":
            place = part.get("fits_hdu") or "PRIMARY"
            found.setdefault((place, part["fits_keyword"]), ".".join(map(str, path[1:])))

    schema.walk_schema(model.schema, collect)
    return found


def leaves(tree, before=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def test_raw_files_are_valid(written):
    from stdatamodels.jwst import datamodels

    each, paths, _ = written
    shape = (1, each.n_groups, *each.setup.shape)
    for path in paths:
        for opener in (datamodels.Level1bModel, datamodels.RampModel, datamodels.open):
            with opener(str(path)) as model:
                model.validate()
                assert model.shape == shape
                assert model.meta.exposure.type == each.setup.keywords["EXP_TYPE"]
                assert len(model.int_times) == 1
                assert len(model.group) == each.n_groups
        assert type(model).__name__ == "Level1bModel"


@pytest.mark.parametrize("mode", [m for m in SETUPS if m.startswith("miri")])
def test_miri_files_hold_the_reference_output(mode, tmp_path):
    from stdatamodels.jwst import datamodels

    each = exposure(mode, seed=1, n_integrations=2, n_groups=2)
    n_y, n_x = each.setup.shape
    with datamodels.Level1bModel(str(each.write(tmp_path)[0])) as model:
        assert model.refout.shape == (2, each.n_groups, n_y, n_x // 4)
        # the level of the bias; noise and pedestals of a few DN fall with the mean
        assert abs(float(model.refout.mean()) - each.setup.electronics.bias) < 20.0


def test_keywords_are_those_of_the_schema(written):
    from stdatamodels.jwst import datamodels

    _, paths, _ = written
    with datamodels.Level1bModel(str(paths[0])) as model:
        known = schema_paths(model)
    with fits.open(paths[0]) as hdus:
        for place in ("PRIMARY", "SCI"):
            for keyword in set(hdus[place].header) - STORAGE:
                assert known.get((place, keyword)) == PATHS.get(keyword), keyword


def test_asdf_says_what_the_header_says(written):
    import asdf

    _, paths, _ = written
    with fits.open(paths[0]) as hdus:
        cell = hdus["ASDF"].data["ASDF_METADATA"].tobytes()
        headers = dict(hdus["SCI"].header) | dict(hdus["PRIMARY"].header)
        with asdf.open(io.BytesIO(cell)) as document:
            said = dict(leaves(document.tree["meta"]))
    assert said == {path: headers[k] for k, path in PATHS.items() if k in headers}


def test_a_wrong_keyword_would_be_noticed(written, tmp_path):
    from asdf.exceptions import ValidationError
    from stdatamodels.jwst import datamodels

    _, paths, _ = written
    with fits.open(paths[0]) as hdus:
        hdus[0].header["EXP_TYPE"] = "NONSENSE"
        hdus.writeto(tmp_path / "wrong.fits")
    with pytest.raises(ValidationError, match="NONSENSE"):
        datamodels.Level1bModel(str(tmp_path / "wrong.fits"))


def test_references_are_valid(written):
    from stdatamodels.jwst import datamodels

    each, _, paths = written
    for kind, path in zip(REFERENCE_TYPES, paths, strict=True):
        name = "DarkMIRIModel" if (kind, each.instrument) == ("dark", "MIRI") else MODELS[kind]
        with getattr(datamodels, name)(str(path)) as model:
            model.validate()
            assert model.meta.subarray.xsize == each.setup.shape[1]
