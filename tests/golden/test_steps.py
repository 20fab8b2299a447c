"""The detector steps of the STScI pipeline on simulated files give the rates that were put in.

The steps run one by one, with the exposure's own reference files, and need no network: what
the end of a step asks of the reference data system, the name of its context, is answered here.

NIRSpec's SUB512 is left without the step of the reference pixels: it has none, and the
pipeline then takes its outermost rows for dark ones, which see the sky.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import tsoxr
from tsoxr.simulation import SETUPS, exposure
from tsoxr.simulation.noise import STANDARD

pytestmark = pytest.mark.filterwarnings("ignore")

NOISE = tuple(n for n in STANDARD if n not in ("one_over_f", "pedestal"))
"""What the errors of a rate state: photons and reads, but no noise that pixels share."""

RANDOM = ("photon", "read", "ktc", "hits", "quantization")
MODES = ["nirspec-prism", "niriss-soss", "nircam-grism", "miri-lrs"]
CHAIN = ("flag_saturation", "subtract_bias", "linearize", "flag_jumps", "fit_ramps")


def steps(each, references):
    """Yield each step of the pipeline with its references."""
    from jwst.dark_current import DarkCurrentStep
    from jwst.dq_init import DQInitStep
    from jwst.group_scale import GroupScaleStep
    from jwst.jump import JumpStep
    from jwst.linearity import LinearityStep
    from jwst.ramp_fitting import RampFitStep
    from jwst.refpix import RefPixStep
    from jwst.saturation import SaturationStep
    from jwst.superbias import SuperBiasStep

    wanted = [
        (GroupScaleStep, ()),
        (DQInitStep, ("mask",)),
        (SaturationStep, ("saturation", "superbias")),
        (SuperBiasStep, ("superbias",)),
        (RefPixStep, ()),
        (LinearityStep, ("linearity",)),
        (DarkCurrentStep, ("dark",)),
        (JumpStep, ("gain", "readnoise")),
        (RampFitStep, ("gain", "readnoise")),
    ]
    for step, kinds in wanted:
        if step is RefPixStep:
            if any(each.setup.border):
                yield step(override_refpix="N/A", override_sirskernel="N/A")
        else:
            yield step(**{f"override_{k}": str(references[k]) for k in kinds})


@pytest.fixture(scope="module", params=MODES)
def simulated(request, tmp_path_factory):
    if request.param not in SETUPS:
        pytest.skip(f"{request.param} is not simulated")
    folder = tmp_path_factory.mktemp("steps")
    each = exposure(request.param, seed=5, n_integrations=4, noise=NOISE)
    path = each.write(folder)[0]
    references = {p.name.split("_")[2]: p for p in each.write_references(folder / "refs")}
    return each, path, references


@pytest.fixture(scope="module")
def reduced(simulated, _offline):
    from stdatamodels.jwst import datamodels

    each, path, references = simulated
    model = datamodels.RampModel(str(path))
    for step in steps(each, references):
        model = step.run(model)
    of_integrations = model[1]
    still = tuple(n for n in NOISE if n not in RANDOM)
    truth = each.replace(noise=still).rates()["rate"].values
    truth = truth - each.maps.dark / each.maps.gain
    rate, error = np.array(of_integrations.data), np.array(of_integrations.err)
    usable = np.isfinite(rate) & (np.array(of_integrations.dq) & 1 == 0) & each.setup.science
    ours = tsoxr.open(path).tso.use_references(references_of(references))
    for name in CHAIN:
        ours = getattr(tsoxr.steps, name)(ours)
    steps_done = of_integrations.meta.cal_step.instance
    return SimpleNamespace(
        each=each, rate=rate, error=error, truth=truth, usable=usable, ours=ours, done=steps_done
    )


def references_of(references):
    return next(iter(references.values())).parent


def test_steps_complete(reduced):
    wanted = {"dq_init", "saturation", "superbias", "linearity", "dark_sub", "jump", "ramp_fit"}
    assert {k for k in wanted if reduced.done.get(k) != "COMPLETE"} == set()


def test_rates_of_the_pipeline_agree_with_the_truth(reduced, record_property):
    chosen = reduced.usable
    z = ((reduced.rate - reduced.truth) / reduced.error)[chosen]
    bright = reduced.truth > 0.05 * reduced.truth.max()
    gain = reduced.each.maps.gain
    record_property("pipeline - truth, sigma", (float(np.median(z)), float(z.std())))
    # n independent pixels: their median is known to 1.25 n^-1/2. The reference pixels' noise,
    # common to an output, moves it further, and so does the pipeline's fit: it weights groups
    # by their own signal, which favours those that noise has raised (0.012 at 20 DN per ramp)
    assert abs(np.median(z)) < 5 * 1.25 / np.sqrt(z.size) + 0.03
    assert 1.4826 * np.median(np.abs(z)) == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.abs(z) > 6) < 1e-4
    some = chosen & bright
    span = reduced.each.clock.group_interval * (reduced.each.n_groups - 1)
    light = (reduced.truth * gain)[some].sum()
    # the sum of all light to its photon noise
    limit = float(1.0 / np.sqrt(light * span))
    assert reduced.rate[some].sum() / reduced.truth[some].sum() == pytest.approx(1, abs=6 * limit)


def test_both_packages_find_the_same_rates(reduced, record_property):
    ours, error = reduced.ours["rate"].values, reduced.ours["rate_error"].values
    ours = ours - reduced.each.maps.dark / reduced.each.maps.gain
    both = reduced.usable & np.isfinite(ours)
    difference = ((ours - reduced.rate) / reduced.error)[both]
    spread = 1.4826 * np.median(np.abs(difference))
    record_property("tsoxr - pipeline, sigma", (float(np.median(difference)), float(spread)))
    # both are nearly optimal weights of the same groups: what differs is the weighting of
    # noise and, where there are reference pixels, the noise of their correction
    assert abs(np.median(difference)) < 0.02
    assert spread < 0.2
    assert np.median(error[both] / reduced.error[both]) == pytest.approx(1.0, abs=0.03)
