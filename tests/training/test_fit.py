"""The loop against the same training written out by hand, and all that is refused or stops it."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from training_tools import Tiny, cloud, files, noise_loss, same_weights, tiny

from girsanov import networks, objectives, processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, NotFinite, SavedFileError, Unsuitable
from girsanov.noise import Noise
from girsanov.training import Training, fit, load, split
from girsanov.training.averages import ramped
from girsanov.training.batches import TRAIN, VALIDATION, Data
from girsanov.training.folder import checkpoints, last_checkpoint

QUIET = Training(batch_size=16, lr=1e-2, warmup=5, progress=False)


def by_hand(x, steps, config=QUIET, clip=1.0):
    """The documented algorithm in plain PyTorch: unfused AdamW, and the average as a loop over tensors."""
    model, losses = tiny(), []
    data = Data.checked(x, None, None, batch_size=16, validation=config.validation, seed=config.seed)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=False, foreach=False)
    average = [p.detach().clone() for p in model.parameters()]
    for k in range(steps):
        rows = data.order.take(16 * k, 16 * (k + 1))
        loss = noise_loss(model, x[rows], generator=Noise(config.seed).child(TRAIN).child(k)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.param_groups[0]["lr"] = config.rate(k, steps)
        optimizer.step()
        beta = ramped(config.ema)(k + 1)
        average = [beta * a + (1 - beta) * p.detach() for a, p in zip(average, model.parameters())]
        losses.append(loss.item())
    return average, losses


def test_the_loop_is_the_one_written_by_hand():
    model, x = tiny(), cloud()
    history = fit(model, noise_loss, x, steps=40, config=QUIET)
    average, losses = by_hand(x, 40)
    torch.testing.assert_close(history.losses.tolist(), losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(list(model.parameters()), average, rtol=1e-3, atol=1e-4)
    wrong, _ = by_hand(x, 40, clip=0.05)
    assert not torch.allclose(next(iter(model.parameters())), wrong[0], rtol=1e-3, atol=1e-4)


def test_a_gaussian_is_learned_through_the_library():
    """The best noise prediction for N(0, 1) under VP is γ x, whose loss is the mean of α²."""
    torch.manual_seed(0)
    model = Denoiser(networks.MLP(2, hidden=32, depth=1), processes.VP(), data_std=1.0)
    history = fit(model, objectives.score_matching(), cloud(2000), steps=150, config=Training(progress=False))
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(3))
    alpha = processes.VP().alpha(0.3)
    assert (model.data(x, 0.3) - alpha * x).square().mean() < 0.02
    assert history.validation[-1][1] < history.validation[0][1] or history.validation[-1][1] < 1.1


def test_the_model_ends_with_the_average_in_evaluation_mode():
    model, plain = tiny(), tiny()
    fit(model, noise_loss, cloud(), steps=20, config=QUIET)
    fit(plain, noise_loss, cloud(), steps=20, config=Training(**{**vars(QUIET), "ema": 0.0}))
    assert not same_weights(model, plain) and not model.training and model.shape == (2,)


def test_the_held_out_loss_is_that_of_the_held_out_rows_with_fixed_noise():
    model, x = tiny(), cloud(100)
    history = fit(model, noise_loss, x, steps=30, config=QUIET)
    assert [step for step, _ in history.validation] == list(range(2, 31, 2))
    _, held_out = split(100, 0.1, QUIET.seed)
    loss = noise_loss(model, x[held_out], generator=Noise(QUIET.seed).child(VALIDATION)).mean().item()
    assert history.validation[-1][1] == pytest.approx(loss, rel=1e-6)


def test_without_a_held_out_part_nothing_is_looked_at():
    config = Training(**{**vars(QUIET), "validation": 0.0})
    assert fit(tiny(), noise_loss, cloud(1), steps=3, config=config).validation == ()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_same_seed_gives_the_same_bits_and_the_global_state_is_untouched(dropout):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first, again, other = (tiny(dropout=dropout) for _ in range(3))
    fit(first, noise_loss, cloud(), steps=12, config=QUIET)
    torch.rand(5)  # the global state has moved; the training must not care
    torch.set_rng_state(before[0])
    torch.rand(3)
    moved = torch.get_rng_state()
    fit(again, noise_loss, cloud(), steps=12, config=QUIET)
    assert torch.equal(torch.get_rng_state(), moved)
    fit(other, noise_loss, cloud(), steps=12, config=Training(**{**vars(QUIET), "seed": 1}))
    assert same_weights(first, again) and not same_weights(first, other)
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


def test_the_number_of_threads_does_not_change_the_bits():
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(tiny())
            fit(found[-1], noise_loss, cloud(), steps=10, config=QUIET)
    finally:
        torch.set_num_threads(threads)
    assert same_weights(*found)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_the_same_to_its_rounding(precision):
    model, plain = tiny(), tiny()
    config = Training(**{**vars(QUIET), "precision": precision})
    history = fit(model, noise_loss, cloud(), steps=30, config=config)
    reference = fit(plain, noise_loss, cloud(), steps=30, config=QUIET)
    assert next(model.parameters()).dtype == torch.float32
    assert not same_weights(model, plain)
    torch.testing.assert_close(history.losses, reference.losses, rtol=0.05, atol=0.05)


def test_float64_and_frozen_weights():
    model = tiny().double()
    model.network.first.weight.requires_grad_(False)
    frozen = model.network.first.weight.clone()
    fit(model, noise_loss, cloud().double(), steps=5, config=QUIET)
    assert torch.equal(model.network.first.weight, frozen)
    assert not torch.equal(model.network.last.weight, tiny().double().network.last.weight)


@pytest.mark.parametrize(
    "x", [cloud().double(), cloud(400)[::2], torch.zeros(1, 2).expand(50, 2), cloud().requires_grad_()]
)
def test_tensors_of_many_kinds_are_taken(x):
    assert fit(tiny(), noise_loss, x, steps=2, config=QUIET).steps == 2


def test_conditions_and_ends_arrive():
    seen = []

    def objective(model, x0, *, cond=None, end=None, generator=None):
        seen.append((x0, cond, end))
        return noise_loss(model, x0, cond=cond["shift"], generator=generator)

    x = cloud(40)
    cond = {"shift": x[:, 0].double(), "row": torch.arange(40)}
    fit(tiny(), objective, x, cond=cond, end=2 * x, steps=3, config=QUIET)
    for x0, given, end in seen:
        assert torch.equal(given["shift"], x0[:, 0]) and torch.equal(end, 2 * x0)
        assert given["row"].dtype == torch.int64 and given["shift"].dtype == torch.float32


# What is refused before any work.


def refused(error, message, *, x=None, model=None, objective=noise_loss, **options):
    with pytest.raises(error, match=message):
        fit(model or tiny(), objective, cloud() if x is None else x, **{"config": QUIET, **options})


def test_wrong_channels_are_refused_by_the_network():
    refused(InputError, r"Tiny raised RuntimeError.*x float32 \(200, 3\)", x=torch.zeros(200, 3))
    net = Denoiser(networks.UNet(channels=1, width=8), processes.VP())
    refused(
        InputError,
        r"takes \(B, 1",
        model=net,
        x=torch.zeros(20, 3, 8, 8),
        objective=objectives.score_matching(),
    )


def test_labels_that_do_not_exist_are_refused():
    model = Denoiser(networks.MLP(2, classes=3), processes.VP())
    refused(
        InputError,
        "labels from 7",
        model=model,
        cond=torch.full((200,), 7),
        objective=objectives.score_matching(),
    )


def test_a_model_of_another_shape_is_refused():
    model = tiny()
    model.shape = (5,)
    refused(InputError, r"model\.shape is \(5,\)", model=model)


@pytest.mark.parametrize(
    "answer",
    [lambda losses: losses.mean(), lambda losses: losses.detach(), lambda losses: losses[:1], lambda _: 3.0],
)
def test_an_objective_must_give_one_loss_for_each_sample(answer):
    def objective(model, x0, **rest):
        return answer(noise_loss(model, x0, **rest))

    refused(Unsuitable, "one loss for each", objective=objective)


@pytest.mark.parametrize("steps", [0, -3, 2.5, True])
def test_the_number_of_steps_is_checked(steps):
    refused(InputError, "steps", steps=steps)


def test_settings_that_do_not_fit_the_rest_are_refused(tmp_path):
    refused(InputError, "give out=", resume=True)
    refused(InputError, "config is dict", config={"lr": 1e-3})
    refused(InputError, "'tensorboard' needs a folder", config=Training(log=("tensorboard",), progress=False))
    refused(InputError, "device 'cuda", config=Training(device="cuda:7", progress=False))
    refused(InputError, "device 'toaster", config=Training(device="toaster", progress=False))
    refused(InputError, "multiple", config=Training(batch_size=7, devices=2, progress=False))
    refused(InputError, "one row cannot be split", x=cloud(1))
    for kind in (torch.float16, torch.bfloat16):
        refused(InputError, "give float32", model=tiny().to(kind))
    frozen = tiny()
    frozen.requires_grad_(False)
    refused(InputError, "nothing to train", model=frozen)


def test_what_could_not_be_saved_is_refused_before_training(tmp_path):
    class Strange:
        t_min = 0.01

    model = tiny()
    model.process = Strange()
    refused(Unsuitable, "known process", model=model, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_when_data_is_refused(tmp_path):
    refused(InputError, "empty", x=torch.zeros(0, 2), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["file", "file/inside", "/proc/nothing/run", "x" * 300, "nul\0"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("")
    refused(SavedFileError, "folder", out=tmp_path / place)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# What stops a training.


def poisoned(at, rows=(), gradient=False):
    """An objective that fails at a call: NaN on some samples, or a gradient that is infinite."""
    calls = []

    def objective(model, x0, **rest):
        losses = noise_loss(model, x0, **rest)
        if model.training:
            calls.append(1)
            if len(calls) == at:
                bias = model.network.last.bias
                if gradient:
                    return losses + (bias[0] - bias[0].detach()).abs().sqrt()  # 0, with slope ∞
                losses = losses.index_fill(0, torch.tensor(rows), math.nan)
        return losses

    return objective


def test_a_loss_that_is_nan_names_step_and_rows_and_saves_the_state_before(tmp_path):
    x, config = cloud(), QUIET
    good = tiny()
    fit(
        good,
        noise_loss,
        x,
        steps=100,
        out=tmp_path / "good",
        config=Training(**{**vars(QUIET), "checkpoint_every": 6}),
    )
    order = Data.checked(x, None, None, batch_size=16, validation=0.1, seed=0).order
    bad = order.take(16 * 6, 16 * 7)[[3, 11]].tolist()
    model = tiny()
    with pytest.raises(
        NotFinite, match=rf"the loss of step 7 is NaN.*rows {bad[0]}, {bad[1]} of x.*step 6 is saved"
    ):
        fit(model, poisoned(7, [3, 11]), x, steps=100, out=tmp_path / "run", config=config)
    found, _ = last_checkpoint(tmp_path / "run")
    assert found.record["step"] == 6 and all(torch.isfinite(t).all() for t in found.tensors.values())
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_gradient_that_is_not_finite_names_the_whole_batch():
    model = tiny()
    with pytest.raises(NotFinite, match=r"the gradient of step 3.*Nothing had been saved"):
        fit(model, poisoned(3, gradient=True), cloud(), steps=9, config=QUIET)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_the_first_bad_step_is_found_where_looking_is_put_off(monkeypatch):
    """On an accelerator the loss is read now and then; here the check of every step is switched off."""
    monkeypatch.setattr("girsanov.training.loop.refuse_bad_step", lambda *a: None)
    with pytest.raises(NotFinite, match="its gradient of step 13 is NaN"):
        fit(tiny(), poisoned(13, [2]), cloud(), steps=60, config=QUIET)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("can't allocate memory: 8 GB"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_a_step_that_needs_too_much_memory_names_the_batch_size(tmp_path, error):
    calls = []

    def objective(model, x0, **rest):
        calls.append(1)
        if model.training and len(calls) > 8:
            raise error
        return noise_loss(model, x0, **rest)

    config = Training(**{**vars(QUIET), "checkpoint_every": 2})
    with pytest.raises(
        InputError, match=r"batch_size=16\. Give batch_size=8\. The state after step 2 is saved"
    ):
        fit(tiny(), objective, cloud(), steps=6, out=tmp_path / "run", config=config)
    assert len(checkpoints(tmp_path / "run")) == 1


def test_another_error_of_the_objective_is_passed_on():
    def objective(model, x0, **rest):
        if model.training:
            raise RuntimeError("mine")
        return noise_loss(model, x0, **rest)

    with pytest.raises(RuntimeError, match="mine"):
        fit(tiny(), objective, cloud(), steps=6, config=QUIET)


# What is left.


def test_a_run_folder_holds_a_model_that_loads(tmp_path):
    model = tiny()
    history = fit(model, noise_loss, cloud(), steps=25, out=tmp_path / "run", config=QUIET)
    assert history.folder == tmp_path / "run" and history.seconds > 0 and history.steps == 25
    assert same_weights(load(tmp_path / "run", network=Tiny()), model)
    names = set(files(tmp_path / "run"))
    assert names == {
        ".lock", "README.md", "checkpoint/step-00000025.safetensors", "config.json", "log.jsonl",
        "model.safetensors",
    }  # fmt: skip
    assert "noise_loss" in (tmp_path / "run" / "README.md").read_text()
