"""An independent reference for ``blurcore``: the same equations, dense and slow, in NumPy and mpmath.

``oracle`` has every function in float64, ``precise`` the coefficients in 50 digits; ``blurcore_reference.oracle`` maps
the modules to the equations. Nothing is imported here, so that what needs no mpmath does without it.
"""
