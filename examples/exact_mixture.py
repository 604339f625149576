"""Exact answers: the posterior and the likelihood of a mixture, and how near a sampler comes to them.

    python examples/exact_mixture.py

Nothing is trained. A mixture of Gaussians has its score, its likelihood and its posterior in closed form.
"""

import os

import torch

import girsanov as gv

# Two clusters in three dimensions, the second twice as likely.

n = int(os.environ.get("SAMPLES", "1000"))
means = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.5]])
law = gv.exact.GaussianMixture(means, 0.1, weights=[1.0, 2.0])
model = law.denoiser(gv.processes.VP())

# Likelihood. The probability flow computes it from the denoiser alone; the mixture says what it should be.

x = law.sample(8, generator=gv.Noise(0))
flow, exact = gv.log_likelihood(model, x), law.log_prob(x)
print("log-likelihood, nats")
print("  by the flow  ", [round(value, 3) for value in flow.tolist()])
print("  in closed form", [round(value, 3) for value in exact.tolist()])

# Posterior. The sum of the first two coordinates was measured as 0.3, with noise of standard deviation 0.2. The
# posterior is a mixture again: its weights say which cluster the measurement came from.

operator = torch.tensor([[1.0, 1.0, 0.0]])
posterior = law.posterior(operator, torch.tensor([0.3]), noise=0.2)
print("\nposterior given a measured sum of 0.3")
print("  weights", [round(weight, 3) for weight in posterior.weights.tolist()])
print("  mean   ", [round(value, 3) for value in posterior.mean.tolist()])

# The posterior has an exact denoiser too. Its samples can be told from exact draws no better than exact draws from
# each other: 20 network calls leave no error that this many samples could show.

drawn = gv.sample(posterior.denoiser(gv.processes.VP()), n, steps=20, seed=0)
distance = gv.metrics.energy_distance(drawn, posterior.sample(n, generator=gv.Noise(1)))
floor = gv.metrics.noise_floor(gv.metrics.energy_distance, posterior.sample, n, generator=gv.Noise(2))
print(f"  energy distance {distance:.5f}; between two exact batches {floor.mean:.5f} ± {floor.std:.5f}")

# Filling in without the closed form: the first coordinate is known, the others are drawn by replacement. That is an
# approximation, and here one can see how good it is.

known = torch.tensor([1.2, float("nan"), float("nan")])
filled = gv.inverse.inpaint(model, known, torch.tensor([1, 0, 0]), n=n, steps=20, seed=0)
truth = law.posterior(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1.2]), noise=0.0)
print("\nfilled in, first coordinate 1.2")
print("  by replacement", [round(value, 3) for value in filled.mean(0).tolist()])
print("  exact         ", [round(value, 3) for value in truth.mean.tolist()])
