import tsoxr

ramps = tsoxr.simulate("nirspec-prism", kind="ramps", seed=1)  # or tsoxr.open("jw*_uncal.fits")
ramps = ramps.tso.flag_saturation().tso.subtract_bias().tso.correct_reference_pixels()
rates = ramps.tso.clean_1overf().tso.linearize().tso.flag_jumps().tso.fit_ramps()
rates = rates.tso.flag_outliers().tso.find_trace().tso.subtract_background().tso.assign_wavelength()
spectra = rates.tso.extract()  # flux, flux_error (time, wavelength)
white = spectra.tso.white_light()  # one light curve of all the light
curves = spectra.tso.bin(resolution=50)  # real data also take .tso.mark_transit(t0=, duration=)
curves.tso.spectrum().tso.plot.spectrum()  # depth, depth_error (wavelength)
