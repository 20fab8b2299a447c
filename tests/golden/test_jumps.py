"""The two-point search flags what the jump step of the STScI pipeline flags.

Both get the same ramps, flags, gain and read noise. The pipeline takes the median over the
differences of the file; so does `flag_jumps` for files of up to 32 integrations. Where an
integration has fewer than ten usable differences, the pipeline takes absolute differences and
leaves its finds out of the median one by one, which is not done here.
"""

import numpy as np
import pytest

import tsoxr
from tsoxr.simulation import exposure
from tsoxr.steps import flag_jumps

pytestmark = pytest.mark.filterwarnings("ignore")


def flagged_by_both(mode, folder, **given):
    """Return where the pipeline and tsoxr flag differences."""
    from jwst.jump import JumpStep
    from stdatamodels.jwst import datamodels

    made = exposure(mode, seed=5, n_integrations=4, n_hits=400, **given)
    path = made.write(folder)[0]
    references = {p.name.split("_")[2]: p for p in made.write_references(folder / "refs")}
    ours = tsoxr.open(path).tso.use_references(folder / "refs")
    for name in ("flag_saturation", "subtract_bias", "linearize"):
        ours = getattr(tsoxr.steps, name)(ours)
    ours = ours.load()
    model = datamodels.RampModel(str(path))
    model.data = ours["ramp"].values.astype("f4")
    model.groupdq = ours["dq_group"].values.copy()
    names = ("", "three_group_", "four_group_")
    thresholds = dict.fromkeys((f"{name}rejection_threshold" for name in names), 4.0)
    files = {f"override_{kind}": str(references[kind]) for kind in ("gain", "readnoise")}
    step = JumpStep(**thresholds, **files)
    before = ours["dq_group"].values
    theirs = (np.asarray(step.run(model).groupdq) & ~before & 4) > 0
    found = flag_jumps(ours, method="two_point")["dq_group"].values
    return theirs[:, 1:], ((found & ~before & 4) > 0)[:, 1:]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    ("mode", "given", "least"),
    [
        # eleven differences and more: one pass, the same arithmetic; float32 rounding only
        ("nirspec-prism", {"n_groups": 13}, 0.995),
        ("miri-lrs", {"n_groups": 16}, 0.995),
        # seven differences: their absolute values raise the median of dark pixels by a part of
        # the read noise, which moves the threshold there
        ("miri-lrs", {"n_groups": 8}, 0.9),
    ],
)
def test_two_point_flags_what_the_pipeline_flags(tmp_path, record_property, mode, given, least):
    theirs, ours = flagged_by_both(mode, tmp_path, **given)
    both, either = np.count_nonzero(theirs & ours), np.count_nonzero(theirs | ours)
    record_property("flagged by both, by either", (both, either))
    assert both > 500
    assert both >= least * either
