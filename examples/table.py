"""A table: learn 178 wines, draw new rows as a data frame, and ask whether they can be told apart.

    python examples/table.py            a minute or two on two cores
    STEPS=50 python examples/table.py   to see it run

Writes wines.csv. Needs the extra `data`.
"""

import os

import torch

import girsanov as gv

# 13 measurements and the cultivar. Numbers are standardized and the cultivar is one-hot; the codec undoes both.
# A frame of your own: codec = gv.data.TableCodec.learn(frame); x = codec.encode(frame).

data = gv.data.wine()
print(data.codec.decode(data.x[:3]).round(2).to_string(), "\n")

# The rows that `fit` would hold out are set aside here, since they are needed to judge the result.

train, held_out = gv.training.split(len(data.x), 0.25, seed=0)
torch.manual_seed(0)
model = gv.Denoiser(
    gv.networks.MLP(data.x.shape[1], hidden=64, depth=2), gv.processes.VP(), data_std=float(data.x.std())
)
steps = int(os.environ.get("STEPS", "2000"))
config = gv.training.Training(batch_size=64, ema=0.999, validation=0.0)
gv.fit(model, gv.objectives.score_matching(), data.x[train], steps=steps, config=config)

# New rows, with the names, types and units of the table.

x = gv.sample(model, 1000, steps=20, seed=0)
frame = data.codec.decode(x)
print(frame.head(5).round(2).to_string())
print("\n", frame.describe().loc[["mean", "std"]].round(2).to_string())
gv.data.write("wines.csv", x, data.codec)

# Are they any good? Real rows that were not trained on say what to expect: 0.5 is "cannot be told apart" in the
# first test, and a ratio far below 1 in the second would mean that the model recites its training rows.

same = gv.metrics.nearest_neighbour_test(x[: len(held_out)], data.x[held_out])
ratio = gv.metrics.nearest_train_ratio(x, data.x[train], data.x[held_out])
print(f"\n1-NN test {same:.2f} (0.5 is best), distance to training rows over held-out rows' {ratio:.2f}")
print("wrote wines.csv")
