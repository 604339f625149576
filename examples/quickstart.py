"""Learn handwritten digits, and draw new ones in ten network calls each.

    python examples/quickstart.py            a few minutes on two cores
    STEPS=50 python examples/quickstart.py   to see it run

Writes digits.png and the folder runs/digits. Needs the extra `data`.
"""

import os

import torch

import girsanov as gv

# The data: 1,797 pictures of 8×8 pixels in [-1, 1], and which digit each one shows.

x, digit = gv.data.digits()
print(f"{len(x)} pictures of shape {tuple(x.shape[1:])}, standard deviation {x.std():.2f}")

# Four choices: a network, a process, what the network predicts, and the scale of the data. The weights of the
# network are drawn from torch's own random state.

torch.manual_seed(0)
model = gv.Denoiser(
    gv.networks.UNet(channels=1, classes=10), gv.processes.VP(), predicts="velocity", data_std=float(x.std())
)

# Training. A tenth of the labels is hidden, so that the model can be guided later. With out="runs/digits" it would also
# keep checkpoints, save on Ctrl-C, and go on later with resume=True.

objective = gv.objectives.score_matching(label_dropout=0.1)
config = gv.training.Training(lr=2e-3)
steps = int(os.environ.get("STEPS", "1000"))
history = gv.fit(model, objective, x, cond=digit, steps=steps, config=config)
print(f"{history.steps} steps in {history.seconds:.0f} s; held-out loss {history.validation[-1][1]:.3f}")

gv.save(model, "runs/digits")

# Sampling: four of each class, a column a class. The same seed gives the same pictures, in batches of any size.

model = gv.load("runs/digits")
classes = torch.arange(10).repeat(4)
pictures = gv.sample(model, 40, cond=classes, steps=10, seed=0)
gv.data.write("digits.png", pictures, gv.data.ImageCodec("L", (8, 8)))

# Guidance makes the pictures more typical of their class, for two network calls in place of one.

guided = gv.guidance.classifier_free(model, scale=1.5)
typical = gv.sample(guided, 40, cond=classes, steps=10, seed=0)
gv.data.write("typical.png", typical, gv.data.ImageCodec("L", (8, 8)))
print("wrote digits.png, typical.png and runs/digits")
