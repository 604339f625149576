"""A sampler is data: choose one, look at it, compare it with others.

    python examples/plans.py

The model is exact, so all the error that is left belongs to the sampler. Writes plan.png and plan.json.
"""

import os

import torch

import girsanov as gv

# A law whose denoiser is known in closed form; a trained model would be used the same way.

n = int(os.environ.get("SAMPLES", "4000"))
law = gv.exact.GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0], [0.0, -2.0]]), 0.02)
model = law.denoiser(gv.processes.VP())

# A plan is made from a process and a grid of times. Printed, it has one line a row: the time, the log signal-to-noise
# ratio, whether the network is called, and the coefficients.

plan = gv.solvers.dpm_multistep(model.process, gv.solvers.grid("karras", steps=8))
print(plan)
plan.draw("plan.png")
plan.save("plan.json")
assert gv.solvers.Plan.load("plan.json") == plan

# Which sampler is worth its calls? From the same noise a deterministic sampler with very many steps gives the answer
# that all the others approach. Heun's method spends two calls a step, so it gets half the steps.

target = gv.sample(model, n, steps=200, seed=0)
candidates = {"euler": 1, "heun": 2, "ddim": 1, "dpm-multistep": 1}
budgets = (6, 10, 20)
print(f"\n{'root mean square error':24}" + "".join(f"{f'{calls} calls':>12}" for calls in budgets))
for name, price in candidates.items():
    errors = []
    for calls in budgets:
        x = gv.sample(model, n, solver=name, steps=calls // price, seed=0)
        errors.append((x - target).square().mean().sqrt())
    print(f"{name:24}" + "".join(f"{error:12.4f}" for error in errors))
best = [gv.sample(model, n, steps=calls, seed=0) for calls in budgets]
print(f"{'nothing said':24}" + "".join(f"{(x - target).square().mean().sqrt():12.4f}" for x in best))

# The last line is the recommended rule. Of six calls Euler's method makes more here, of 10 and more the rule does: its
# order pays once the steps are short. What fits a process can be asked for.

print("\nsolvers for this process:", ", ".join(gv.solvers.for_process(model.process)))
