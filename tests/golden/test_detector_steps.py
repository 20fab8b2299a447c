"""Step by step against the STScI pipeline: the same counts in, the same counts out.

Both get the counts that the pipeline's own step before has left. Additions and polynomials in
float32 can differ by the rounding of their order: 2^-24 of the largest number for each.
"""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

import tsoxr
from tsoxr import dq
from tsoxr.simulation import exposure

pytestmark = pytest.mark.filterwarnings("ignore")

HALF_STEP = 2.0**-24
"""Rounding of a float32, relative."""

SETUPS = {
    "nirspec-prism": {},
    "niriss-soss": {"subarray": "SUBSTRIP96"},
    "nircam-grism": {"subarray": "SUBGRISM64"},
    "miri-lrs": {"n_groups": 10},
}


def pipeline_steps(mode):
    """Return the steps in the pipeline's order, with the references that they take."""
    from jwst.dark_current import DarkCurrentStep
    from jwst.dq_init import DQInitStep
    from jwst.linearity import LinearityStep
    from jwst.refpix import RefPixStep
    from jwst.reset import ResetStep
    from jwst.saturation import SaturationStep
    from jwst.superbias import SuperBiasStep

    common = {
        "mask": (DQInitStep, ("mask",)),
        "saturation": (SaturationStep, ("saturation", "superbias")),
        "superbias": (SuperBiasStep, ("superbias",)),
        "refpix": (RefPixStep, ()),
        "linearity": (LinearityStep, ("linearity",)),
        "dark": (DarkCurrentStep, ("dark",)),
        "reset": (ResetStep, ("reset",)),
    }
    order = ("mask", "saturation", "superbias", "refpix", "linearity", "dark")
    if mode.startswith("miri"):
        order = ("mask", "saturation", "reset", "linearity", "dark", "refpix")
    return {name: common[name] for name in order}


def write_reset(path, each, like):
    """Write a reset reference of the subarray: two integrations that decay differently."""
    from stdatamodels.jwst import datamodels

    n_y, n_x = each.setup.science.shape
    decay = np.exp(-np.arange(each.n_groups) / 3.0)[:, None, None]
    pattern = np.random.default_rng(3).normal(20.0, 5.0, (2, 1, n_y, n_x))
    data = (pattern * np.array([1.0, 0.6])[:, None, None, None] * decay).astype("f4")
    with datamodels.ResetModel(data=data) as made:
        made.update(like)
        made.meta.exposure.nints, made.meta.exposure.ngroups = data.shape[:2]
        made.meta.description, made.meta.author = "test", "test"
        made.meta.pedigree, made.meta.useafter = "DUMMY", "2020-01-01T00:00:00"
        made.meta.reftype = "RESET"
        made.dq = np.zeros((n_y, n_x), np.uint32)
        made.save(str(path))
    return path


@pytest.fixture(scope="module", params=SETUPS)
def stages(request, tmp_path_factory, _offline):
    """What the pipeline has before and after each of its steps, and our ramps."""
    from stdatamodels.jwst import datamodels

    folder = tmp_path_factory.mktemp("detector")
    each = exposure(request.param, seed=6, n_integrations=4, **SETUPS[request.param])
    path = each.write(folder)[0]
    references = {p.name.split("_")[2]: p for p in each.write_references(folder / "refs")}
    model = datamodels.RampModel(str(path))
    if request.param.startswith("miri"):
        reset = folder / "refs" / "jwst_miri_reset_0001.fits"
        references["reset"] = write_reset(reset, each, model)
    found = {}
    for name, (step, kinds) in pipeline_steps(request.param).items():
        if any(kind not in references for kind in kinds) or (
            name == "refpix" and not any(each.setup.border)
        ):
            continue
        before = np.array(model.data)
        given = {f"override_{k}": str(references[k]) for k in kinds}
        given |= (
            {"override_refpix": "N/A", "override_sirskernel": "N/A", "use_side_ref_pixels": False}
            if name == "refpix"
            else {}
        )
        model = step(**given).run(model)
        found[name] = before, np.array(model.data), np.array(model.groupdq)
    ds = tsoxr.open(path).tso.use_references(folder / "refs").load()
    return each, ds, found


def ours(stages, name, step, **how):
    """Return our counts after a step and the pipeline's, and the pixels that both treat."""
    each, ds, found = stages
    if name not in found:
        pytest.skip(f"{each.setup.mode} has no {name}")
    before, after, _ = found[name]
    given = ds["ramp"].copy(data=before.astype("f4"))
    out = getattr(tsoxr.steps, step)(ds.assign(ramp=given), **how)
    return out["ramp"].values, after, before


def compare(mine, theirs, largest, n_operations, chosen=...):
    difference = (
        np.abs(mine.astype("f8") - theirs)[..., chosen]
        if chosen is not ...
        else (np.abs(mine.astype("f8") - theirs))
    )
    assert np.nanmax(difference) <= n_operations * HALF_STEP * largest


def test_superbias(stages):
    mine, theirs, before = ours(stages, "superbias", "subtract_bias", method="reference")
    compare(mine, theirs, np.abs(before).max(), 1)


def test_dark(stages):
    mine, theirs, before = ours(stages, "dark", "subtract_dark")
    compare(mine, theirs, np.abs(before).max(), 1)


def test_reset(stages):
    mine, theirs, before = ours(stages, "reset", "subtract_reset_anomaly")
    compare(mine, theirs, np.abs(before).max(), 1)


def test_linearity(stages):
    """A polynomial of a few terms: the pipeline's sums are float32, ours float64."""
    mine, theirs, before = ours(stages, "linearity", "linearize")
    saturated = stages[2]["linearity"][2] & dq.bits("SATURATED", dtype="u1") != 0
    difference = np.where(saturated, 0.0, np.abs(mine.astype("f8") - theirs))
    n_terms = stages[1].sizes["coefficient"]
    assert difference.max() <= 4 * n_terms * HALF_STEP * np.abs(before).max()


def test_saturation(stages):
    """The same groups, and with us also those of pixels that only the converter judges."""
    each, ds, found = stages
    out = tsoxr.steps.flag_saturation(ds)
    mine = dq.has_flag(out["dq_group"], "SATURATED").values
    theirs = found["saturation"][2] & dq.bits("SATURATED", dtype="u1") != 0
    science = each.setup.science
    assert not (theirs & ~mine)[..., science].any()
    unchecked = dq.has_flag(ds["dq_pixel"], "NO_SAT_CHECK", "DO_NOT_USE").values
    reach = binary_dilation(unchecked, np.ones((3, 3)))
    assert not (mine & ~theirs)[..., science & ~reach].any()


def test_reference_pixels(stages):
    """Levels of outputs and parities: means of the same pixels, with other rules for outliers."""
    each, ds, found = stages
    if each.mode == "miri-lrs":
        before, after, _ = found["refpix"]
        np.testing.assert_array_equal(after, before)
        pytest.skip("the pipeline leaves subarrays of MIRI as they are")
    mine, theirs, before = ours(stages, "refpix", "correct_reference_pixels", shrink=False)
    taken = [(before - x)[..., each.setup.science].astype("f8") for x in (mine, theirs)]
    change = [x[:, -1] - x[:, 0] for x in taken]
    apart = np.std(change[0] - change[1], axis=0).mean()
    flags = dq.has_flag(ds["dq_pixel"], "REFERENCE_PIXEL").values
    per_level = flags.sum() / (2 * each.setup.readout.n_outputs)
    noise = np.sqrt(2.0) * float(np.median(ds["read_noise"])) / np.sqrt(per_level)
    # both means are of the same pixels; clipping leaves out different ones, a few per cent, and
    # a first group that is measured with its own reset noise or without
    assert apart < 2.0 * noise
