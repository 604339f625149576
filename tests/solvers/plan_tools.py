"""Running a plan on numbers: exact laws where the denoiser is affine, without drawing anything."""

import numpy as np


def gaussian_through(plan, mean, variance, start=None):
    """The mean and variance of what a plan makes of data N(mean, variance) and its exact denoiser.

    Every register is a number plus a combination of the independent standard normals that went in, the
    starting one and each draw. `start` is the (mean, standard deviation) of the starting state, by default
    those of the process's reference.
    """
    process, width = plan.process, len(plan.spans) + 1
    center, spread = (0.0, process.reference_std) if start is None else start
    centers = {("x", 0): center, ("x1", 0): 0.0}
    parts = {("x", 0): spread * np.eye(width)[0], ("x1", 0): np.zeros(width)}
    for r, row in enumerate(plan.rows):
        m, f = 0.0, np.zeros(width)
        for source, register, coefficient, _ in row.terms:
            if source == "ξ":
                f[register + 1] += coefficient
            else:
                m += coefficient * centers[source, register]
                f += coefficient * parts[source, register]
        centers["X", r], parts["X", r] = m, f
        if row.call:
            alpha, gamma = process.alpha(row.t), process.gamma(row.t)
            slope = alpha * variance / (alpha**2 * variance + gamma**2)
            centers["F", r], parts["F", r] = mean + slope * (m - alpha * mean), slope * f
    return m, float(f @ f)
