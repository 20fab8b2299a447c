"""Our ramp fits against those of the STScI pipeline, ramp by ramp.

Both are given the same ramps and flags. The pipeline works in electrons and single precision:
its slopes are rounded to 6e-8 of themselves, and its groups, of up to 1e5 electrons, to 4e-3.
"""

import logging

import numpy as np
import pytest

from tsoxr.kernels import ramp_likelihood, ramp_ols, ramps

pytestmark = pytest.mark.filterwarnings("ignore")

N_TIMES, N_GROUPS, N_Y, N_X = 6, 9, 9, 60
GROUP_TIME = 1.7
JUMP, SATURATED, DO_NOT_USE = 4, 2, 1


@pytest.fixture(scope="module")
def data():
    """Ramps from faint to bright; every row of pixels has another pattern of flags."""
    rng = np.random.default_rng(1)
    gain = rng.uniform(1.0, 2.0, (N_Y, N_X)).astype("f4")
    noise = rng.uniform(5.0, 8.0, (N_Y, N_X)).astype("f4")
    level = np.geomspace(1.0, 8000.0, N_X)
    shape = (N_TIMES, N_GROUPS, N_Y, N_X)
    ramp = rng.poisson(np.broadcast_to(level, shape)).cumsum(axis=1) / gain
    ramp = (ramp + rng.normal(0.0, noise, shape)).astype("f4")
    flags = np.zeros(shape, "u1")
    flags[:, 4, 1] = JUMP
    flags[:, 5:, 2] = SATURATED
    flags[:, 3, 3] = DO_NOT_USE
    flags[:, 4:6, 4] = JUMP
    flags[:, [1, 8], 5] = JUMP
    flags[:, [0, 8], 6] = DO_NOT_USE
    flags[:, 1:, 7] = SATURATED
    flags[:, :, 8] = rng.choice([0, 0, 0, 0, JUMP], (N_TIMES, N_GROUPS, N_X))
    flags[:, 0, 8] = 0
    return ramp, flags, gain, noise


def pipeline(algorithm, ramp, flags, gain, noise):
    """Return slopes, variances and errors of the pipeline, DN s-1."""
    from jwst.datamodels import dqflags
    from stcal.ramp_fitting.ramp_fit import ramp_fit_data
    from stcal.ramp_fitting.ramp_fit_class import RampData

    logging.disable(logging.CRITICAL)
    given = RampData()
    given.set_arrays(
        ramp.copy(), flags.copy(), np.zeros((N_Y, N_X), "u4"), np.zeros((N_Y, N_X), "f4")
    )
    given.set_meta("NIRSPEC", GROUP_TIME, GROUP_TIME, 0, 1)
    given.set_dqflags(dqflags.pixel)
    given.start_row, given.num_rows, given.suppress_one_group_ramps = 0, N_Y, True
    given.algorithm, given.rejection_threshold = algorithm, 4.5
    cds = (noise * np.sqrt(2.0)).astype("f4")  # the reference is the noise of a difference
    _, found, _ = ramp_fit_data(given, False, cds, gain.copy(), algorithm, "optimal", "none")
    logging.disable(logging.NOTSET)
    return found


@pytest.fixture(scope="module")
def both(data):
    ramp, flags, gain, noise = data
    theirs = pipeline("OLS_C", *data)
    # its photon variance is p / (t_last - t_first) of a whole ramp, p constant in time
    whole = theirs["var_poisson"][0, 0] * GROUP_TIME * (N_GROUPS - 1)
    readout = ramps.readout(GROUP_TIME * np.arange(N_GROUPS))
    terms = np.stack([np.broadcast_to(whole, (N_Y, N_X)), noise.astype("f8") ** 2])
    ours = ramp_ols.fit(ramp, flags, terms, 1.0 / gain, readout=readout, dtype="f8")
    return theirs, ours


def test_slopes_are_those_of_the_pipeline(both, record_property):
    theirs, (rate, error, _) = both
    np.testing.assert_array_equal(np.isfinite(theirs["slope"]), np.isfinite(rate))
    good = np.isfinite(rate)
    apart = abs(theirs["slope"] - rate)[good]
    record_property("largest difference, errors", float((apart / error[good]).max()))
    assert (apart <= 2e-7 * abs(rate[good]) + 1e-4 * error[good]).all()
    assert np.count_nonzero(good) > 2800


def test_errors_are_those_of_the_pipeline(both):
    theirs, (_, error, _) = both
    first = theirs["err"][:, 0]
    np.testing.assert_allclose(error[:, 0], first, rtol=1e-6)


def test_read_variances_of_cut_ramps_are_those_of_the_pipeline(data, both):
    ramp, flags, gain, noise = data
    theirs, _ = both
    terms = np.stack([np.zeros((N_Y, N_X)), noise.astype("f8") ** 2])
    readout = ramps.readout(GROUP_TIME * np.arange(N_GROUPS))
    _, read, _ = ramp_ols.fit(ramp, flags, terms, 1.0 / gain, readout=readout, dtype="f8")
    good = np.isfinite(read)
    np.testing.assert_allclose(read[good] ** 2, theirs["var_rnoise"][good], rtol=1e-5)


def test_likelihood_slopes_agree(data, record_property):
    # It guesses the rate from the ramp; the estimate responds to the guess in second order.
    # Differences on both sides of a flagged group are left out there: whole ramps only.
    ramp, flags, gain, noise = (a[..., :1, :] for a in data)
    theirs = pipeline("LIKELY", *data)["slope"][:, :1]
    readout = ramps.readout(GROUP_TIME * np.arange(N_GROUPS))
    rate = np.median((ramp[:, -1] - ramp[:, 0]) / (GROUP_TIME * (N_GROUPS - 1)), axis=0)
    terms = np.stack([np.maximum(rate, 0.0) / gain, noise**2])
    detector = np.stack([1.0 / gain, np.zeros_like(gain)])
    pattern = np.zeros(ramp.shape[1:], "u1")
    found = ramp_likelihood.fit(
        *(ramp, flags, terms, detector, pattern), readout=readout, dtype="f8",
        rule=ramp_likelihood.thresholds(4.5),
    )  # fmt: skip
    apart = (theirs - found.rate) / found.error
    record_property("LIKELY - likelihood, errors", (float(np.median(apart)), float(apart.std())))
    assert abs(np.median(apart)) < 0.02
    assert 1.4826 * np.median(abs(apart)) < 0.05
