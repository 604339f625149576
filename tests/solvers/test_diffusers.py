"""Girsanov and diffusers against each other: the same images, the same coefficients."""

import copy
import json
import pickle

import pytest
import torch
from oracles import seeded

from girsanov import processes, solvers
from girsanov.errors import InputError, MissingExtra, Unsuitable
from girsanov.noise import Noise
from girsanov.solvers.diffusers import from_diffusers, mean_of, to_diffusers
from girsanov.solvers.plan import Plan, Row, Term
from girsanov.solvers.run import run, steps

d = pytest.importorskip("diffusers")

CHAIN = processes.DiscreteVP(d.DDPMScheduler().alphas_cumprod.double().tolist())
FLOW = processes.RectifiedFlow()
PLANS = {
    "ddim": solvers.ddim(CHAIN, solvers.grid("uniform", 6)),
    "2M": solvers.dpm_multistep(CHAIN, solvers.grid("log-snr", 6)),
    "exponential3": solvers.exponential(CHAIN, solvers.grid("sinh", 5)),
    "heun": solvers.rho_rk(CHAIN, solvers.grid("karras", 4)),
    "no last step": solvers.deis(CHAIN, solvers.grid("log-snr", 4, to_zero=False)),
    "ancestral": solvers.ancestral(CHAIN, solvers.grid("log-snr", 6)),
    "unipc": solvers.unipc(CHAIN, solvers.grid("log-snr", 6)),
    "ghvb": solvers.ghvb(CHAIN, solvers.grid("log-snr", 6)),
    "sa-solver": solvers.sa_solver(CHAIN, solvers.grid("log-snr", 5)),
}


def small(kind, **options):
    """An untrained model of 8 × 8 images, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(sample_size=8, in_channels=1, norm_num_groups=4, **options).eval()


def tiny_unet(**options):
    return small(
        d.UNet2DModel, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"), **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unet():
    return tiny_unet()


@pytest.fixture(scope="module")
def model(unet):
    return from_diffusers(unet, d.DDPMScheduler())


def pipeline_images(unet, scheduler, n, generator, size=3):
    """What DDPMPipeline gives, before it squeezes pixels into [0, 1]."""
    pipe = d.DDPMPipeline(unet, d.DDPMScheduler())
    pipe.scheduler = scheduler
    pipe.set_progress_bar_config(disable=True)
    images = pipe(batch_size=size, generator=generator, num_inference_steps=n, output_type="pt").images
    return images * 2 - 1


# Out.


@pytest.mark.parametrize("name", PLANS)
def test_a_pipeline_gives_our_images(name, unet, model):
    plan = PLANS[name]
    images = pipeline_images(unet, plan.to_diffusers(), plan.calls, seeded(1))
    generator = seeded(1)
    with torch.no_grad():
        ours = run(plan, model, torch.randn(3, 1, 8, 8, generator=generator), generator=generator)
    torch.testing.assert_close(images, ours.clamp(-1, 1), rtol=1e-4, atol=1e-4)
    assert ours.abs().max() > 0.1


def test_a_broken_plan_gives_other_images(unet, model):
    plan = PLANS["2M"]
    last = plan.rows[-1]
    off = tuple(term._replace(coefficient=term.coefficient * 1.01) for term in last.terms)
    broken = Plan(plan.process, plan.predicts, (*plan.rows[:-1], last._replace(terms=off)))
    images = pipeline_images(unet, broken.to_diffusers(), plan.calls, seeded(1))
    with torch.no_grad():
        ours = run(plan, model, torch.randn(3, 1, 8, 8, generator=seeded(1)))
    assert (images - ours.clamp(-1, 1)).abs().max() > 1e-3


def images_of(scheduler, answer, x, generator=None):
    """The loop of every pipeline."""
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(answer(scheduler.scale_model_input(x, t), t), t, x, generator=generator)[0]
    return x


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_type_gives_our_images(prediction_type, unet):
    model = from_diffusers(unet, d.DDPMScheduler(prediction_type=prediction_type))
    plan, x = PLANS["2M"], torch.randn(2, 1, 8, 8, generator=seeded(0))
    with torch.no_grad():
        theirs = images_of(plan.to_diffusers(prediction_type), lambda x, t: unet(x, t).sample, x)
        torch.testing.assert_close(theirs, run(plan, model, x), rtol=1e-4, atol=1e-4)


def test_flow_matching_gives_our_images(unet):
    model = from_diffusers(unet, d.FlowMatchEulerDiscreteScheduler())
    plan, x = solvers.heun(FLOW, solvers.grid("uniform", 4)), torch.randn(2, 1, 8, 8, generator=seeded(0))
    scheduler = plan.to_diffusers()
    assert scheduler.timesteps[0] == 1000 and scheduler.config.prediction_type == "flow_prediction"
    with torch.no_grad():
        theirs = images_of(scheduler, lambda x, t: unet(x, t).sample, x)
        torch.testing.assert_close(theirs, run(plan, model, x), rtol=1e-4, atol=1e-4)


def test_a_generator_for_each_sample_and_keyed_noise(unet, model):
    plan, x = PLANS["ancestral"], torch.randn(3, 1, 8, 8, generator=seeded(0))

    def answer(x, t):
        return unet(x, t).sample

    with torch.no_grad():
        each = images_of(plan.to_diffusers(), answer, x, [seeded(i) for i in range(3)])
        for i in range(3):
            alone = run(plan, model, x[i : i + 1], generator=seeded(i))
            torch.testing.assert_close(each[i : i + 1], alone, rtol=1e-4, atol=1e-4)
        keyed = images_of(plan.to_diffusers(), answer, x, Noise(5))
        torch.testing.assert_close(keyed, run(plan, model, x, generator=Noise(5)), rtol=1e-4, atol=1e-4)
        with pytest.raises(InputError, match="2 generators for 3 samples"):
            images_of(plan.to_diffusers(), answer, x, [seeded(0), seeded(1)])


def test_an_edit_between_steps_reaches_everything_after_it(unet, model):
    """As pipelines blend a known region in: here every state is halved."""
    plan, x = PLANS["exponential3"], torch.randn(2, 1, 8, 8, generator=seeded(0))
    scheduler, state = plan.to_diffusers(), x
    with torch.no_grad():
        for i, t in enumerate(scheduler.timesteps):
            state = scheduler.step(unet(state, t).sample, t, state).prev_sample
            state = state / 2 if i < len(scheduler.timesteps) - 1 else state
        ours = run(plan, model, x, edit=lambda row, x: x / 2 if 0 < row.node < plan.calls else x)
        torch.testing.assert_close(state, ours, rtol=1e-4, atol=1e-4)
        assert (state - run(plan, model, x)).abs().max() > 0.01


def test_half_precision_loses_nothing_between_steps():
    """The scheduler keeps its float32 register where the pipeline hands the sample back untouched."""
    plan = solvers.ddim(CHAIN, solvers.grid("log-snr", 50))
    x = torch.randn(4, 3, generator=seeded(0)).half()
    wide = images_of(plan.to_diffusers("sample"), lambda x, t: torch.zeros_like(x), x.float())
    narrow = images_of(plan.to_diffusers("sample"), lambda x, t: torch.zeros_like(x), x)
    assert narrow.dtype == torch.float16
    torch.testing.assert_close(narrow, wide.half())


def test_times_are_those_of_the_model():
    chain = solvers.ddim(CHAIN, [1.0, 0.5, 0.001, 0.0]).to_diffusers()
    assert chain.timesteps.tolist() == [999, 499, 0] and chain.timesteps.dtype == torch.int64
    assert solvers.ddim(CHAIN, [1.0, 0.12345, 0.0]).to_diffusers().timesteps[1].item() == pytest.approx(
        122.45
    )
    assert chain.init_noise_sigma == pytest.approx(1)
    unit = to_diffusers(solvers.ddim(processes.EDM(), [1.0, 0.5, 0.0]), num_train_timesteps=1)
    assert unit.timesteps.tolist() == [1.0, 0.5]
    assert unit.init_noise_sigma == pytest.approx(80, rel=1e-3)


def test_noise_is_added_as_in_training():
    scheduler, peer = PLANS["ddim"].to_diffusers(), d.DDPMScheduler()
    x, z = torch.randn(4, 1, 8, 8, generator=seeded(0)), torch.randn(4, 1, 8, 8, generator=seeded(1))
    t = torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(scheduler.add_noise(x, z, t), peer.add_noise(x, z, t), rtol=1e-5, atol=1e-5)


def test_a_scheduler_survives_saving_pickling_and_copying(tmp_path, unet):
    plan = PLANS["2M"]
    scheduler = plan.to_diffusers()
    scheduler.save_pretrained(tmp_path / "alone")
    loaded = type(scheduler).from_pretrained(tmp_path / "alone")
    assert loaded.plan == scheduler.plan == plan.recast("noise")
    assert (
        json.loads((tmp_path / "alone" / "scheduler_config.json").read_text())["_class_name"]
        == "PlanScheduler"
    )
    assert pickle.loads(pickle.dumps(scheduler)).plan == scheduler.plan
    assert copy.deepcopy(scheduler).timesteps.tolist() == scheduler.timesteps.tolist()
    pipe = d.DDPMPipeline(unet, d.DDPMScheduler())
    pipe.scheduler = scheduler
    pipe.save_pretrained(tmp_path / "pipe")
    assert d.DDPMPipeline.from_pretrained(tmp_path / "pipe").scheduler.plan == scheduler.plan


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_another_number_of_steps_is_refused(n):
    with pytest.raises(InputError, match="num_inference_steps=6"):
        PLANS["ddim"].to_diffusers().set_timesteps(n)


def test_the_number_of_steps_may_be_calls_or_steps():
    scheduler = PLANS["heun"].to_diffusers()
    for n in (4, 7, None):
        scheduler.set_timesteps(n)
        assert len(scheduler.timesteps) == 7


def test_a_run_that_does_not_start_at_the_start_is_refused():
    scheduler, x = PLANS["ddim"].to_diffusers(), torch.zeros(1, 1, 8, 8)
    with pytest.raises(InputError, match=r"start=t"):
        scheduler.step(x, scheduler.timesteps[2], x)
    scheduler.step(x, scheduler.timesteps[0], x)
    with pytest.raises(InputError, match="due at"):
        scheduler.step(x, scheduler.timesteps[0], x)


def test_what_a_pipeline_cannot_run_is_refused():
    bridge = solvers.euler(processes.BrownianBridge(), [0.9, 0.5, 0.0])
    with pytest.raises(Unsuitable, match="two ends"):
        to_diffusers(bridge)
    with pytest.raises(Unsuitable, match="rectified flow"):
        to_diffusers(PLANS["ddim"], prediction_type="flow_prediction")
    with pytest.raises(InputError, match="num_train_timesteps is 0"):
        to_diffusers(PLANS["ddim"], num_train_timesteps=0)
    with pytest.raises(InputError, match="epsilon"):
        to_diffusers(PLANS["ddim"], prediction_type="epsilom")
    rows = (Row(1.0, (Term("x", 0, 2.0),), True, 0), Row(0.0, (Term("F", 0, 1.0),), False, 1))
    with pytest.raises(Unsuitable, match="row 0"):
        to_diffusers(Plan(CHAIN, ("data",), rows))


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    solvers.diffusers.scheduler_class.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"girsanov\[diffusers\]"):
        PLANS["ddim"].to_diffusers()


# In.


def test_a_chain_is_asked_at_its_own_steps(unet, model):
    x = torch.randn(4, 1, 8, 8, generator=seeded(0))
    i = torch.tensor([0, 3, 500, 999])
    with torch.no_grad():
        torch.testing.assert_close(model.noise(x, (i + 1) / 1000), unet(x, i).sample, rtol=1e-4, atol=1e-5)
    assert model.shape == (1, 8, 8) and model.stored == ("noise",) and model.process.t_min == 1e-3


def test_ddim_of_diffusers_is_our_ddim(unet, model):
    """Both whole ways: their scheduler and model, our plan and denoiser."""
    scheduler = d.DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(8)
    plan, x = solvers.ddim(CHAIN, chain_grid(scheduler, 0.0)), torch.randn(2, 1, 8, 8, generator=seeded(0))
    with torch.no_grad():
        theirs = images_of(scheduler, lambda x, t: unet(x, t).sample, x)
        torch.testing.assert_close(theirs, run(plan, model, x), rtol=1e-4, atol=1e-4)


def test_edm_of_diffusers_is_our_ddim_on_edm(unet):
    scheduler = d.EDMEulerScheduler()
    scheduler.set_timesteps(6)
    x = torch.randn(2, 1, 8, 8, generator=seeded(0)) * scheduler.init_noise_sigma
    model = from_diffusers(unet, scheduler)
    plan, theirs = solvers.ddim(model.process, (scheduler.sigmas.double() / 80).clamp(max=1).tolist()), x
    with torch.no_grad():
        for t in scheduler.timesteps:
            answer = unet(scheduler.scale_model_input(theirs, t), t).sample
            theirs = scheduler.step(answer, t, theirs).prev_sample
        torch.testing.assert_close(theirs, run(plan, model, x), rtol=1e-4, atol=1e-4)


def test_labels_reach_the_model():
    unet = tiny_unet(num_class_embeds=5)
    model = from_diffusers(unet, d.DDPMScheduler())
    x, labels = torch.randn(2, 1, 8, 8, generator=seeded(0)), torch.tensor([1, 4])
    with torch.no_grad():
        expected = unet(x, 99, class_labels=labels).sample
        for cond in (labels, {"class_labels": labels}):
            torch.testing.assert_close(model.noise(x, 0.1, cond=cond), expected, rtol=1e-4, atol=1e-5)
        assert (model.noise(x, 0.1, cond=labels.flip(0)) - expected).abs().max() > 1e-3
    with pytest.raises(InputError, match="cond is list"):
        model.noise(x, 0.1, cond=[labels])


def test_a_transformer_with_learned_variance():
    dit = small(
        d.DiTTransformer2DModel, num_attention_heads=2, attention_head_dim=4, out_channels=2, num_layers=1,
        patch_size=2, num_embeds_ada_norm=5,
    )  # fmt: skip
    model = from_diffusers(dit, d.DDPMScheduler(variance_type="learned_range"))
    x, labels = torch.randn(2, 1, 8, 8, generator=seeded(0)), torch.tensor([1, 4])
    with torch.no_grad():
        expected = dit(x, timestep=torch.tensor([99, 99]), class_labels=labels).sample[:, :1]
        torch.testing.assert_close(model.noise(x, 0.1, cond=labels), expected, rtol=1e-4, atol=1e-5)
        images = solvers.sample(model, 2, cond=3, steps=3, seed=0)
    assert images.shape == (2, 1, 8, 8) and torch.isfinite(images).all()


def test_text_reaches_the_model():
    unet = small(
        d.UNet2DConditionModel, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=4,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=6,
    )  # fmt: skip
    x, text = torch.randn(2, 1, 8, 8, generator=seeded(0)), torch.randn(2, 3, 6, generator=seeded(1))
    with torch.no_grad():
        expected = unet(x, 99, encoder_hidden_states=text).sample
        model = from_diffusers(unet, d.PNDMScheduler())
        torch.testing.assert_close(model.noise(x, 0.1, cond=text), expected, rtol=1e-4, atol=1e-5)


def test_a_learned_variance_is_dropped_and_nothing_else():
    x = torch.zeros(2, 3, 4)
    assert mean_of(torch.zeros(2, 6, 4), x).shape == (2, 3, 4)
    assert mean_of(torch.zeros(2, 3, 4), x).shape == (2, 3, 4)


@pytest.mark.parametrize(
    "scheduler, process, stored",
    [
        (d.DPMSolverMultistepScheduler(prediction_type="v_prediction"), "TabulatedVP", "v_prediction"),
        (d.EulerDiscreteScheduler(prediction_type="sample"), "TabulatedVP", "data"),
        (d.FlowMatchHeunDiscreteScheduler(), "Straight", "velocity"),
        (
            d.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
            "Straight",
            "velocity",
        ),
        (d.EDMDPMSolverMultistepScheduler(), "VELinear", "data"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_processes_and_predictions_of_schedulers(scheduler, process, stored, unet):
    model = from_diffusers(unet, scheduler)
    assert type(model.process.schedule).__name__ == process and model.stored == (stored,)


@pytest.mark.parametrize(
    "scheduler, says",
    [
        (d.DDIMScheduler(rescale_betas_zero_snr=True), r"alphas_cumprod\[-2\] / 2"),
        (d.DPMSolverMultistepScheduler(rescale_betas_zero_snr=True), "zero signal"),
        (d.ScoreSdeVeScheduler(), "ScoreSdeVeScheduler is not known"),
        (d.IPNDMScheduler(), "IPNDMScheduler is not known"),
        (d.EulerDiscreteScheduler(timestep_type="continuous", sigma_min=0.01, sigma_max=80.0), "not known"),
        (d.EDMEulerScheduler(prediction_type="v_prediction"), "v_prediction"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_schedulers_without_a_counterpart_are_refused(scheduler, says, unet):
    with pytest.raises(Unsuitable, match=says):
        from_diffusers(unet, scheduler)


def test_the_cure_for_zero_terminal_signal_works(unet):
    scheduler = d.DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    scheduler.alphas_cumprod[-1] = scheduler.alphas_cumprod[-2] / 2
    images = solvers.sample(from_diffusers(unet, scheduler), 2, steps=4, seed=0)
    assert torch.isfinite(images).all()


# The same coefficients: an affine sampler shows them when it is run on basis vectors. The state is e_0,
# the answer of call i is e_{1+i}, the i-th draw of noise e_{1+calls+i}.


def chain_grid(scheduler, last):
    """The times of a scheduler of a chain after set_timesteps."""
    return [(int(t) + 1) / scheduler.config.num_train_timesteps for t in scheduler.timesteps] + [last]


class BasisNoise:
    """A source whose draws are basis vectors."""

    def __init__(self, first):
        self.first = first

    def draw(self, like, index, law=None, span=None):
        return torch.eye(like.shape[1], dtype=like.dtype)[None, self.first + index]


def coefficients(plan):
    """Every state that is asked, and the sample, on the basis."""
    e = torch.eye(1 + plan.calls + len(plan.spans), dtype=torch.float64)[:, None]
    loop, states, answers = steps(plan, e[0], BasisNoise(1 + plan.calls)), [], None
    while True:
        try:
            row, live = loop.send(answers)
        except StopIteration as done:
            return torch.stack([*states, done.value[0]])
        answers = None
        if row.call:
            states.append(live.state[0].clone())
            answers = (e[len(states)],)


def probe(scheduler, draws=0):
    """The same of a diffusers scheduler after set_timesteps."""
    calls = len(scheduler.timesteps)
    e = torch.eye(1 + calls + draws, dtype=torch.float64)[:, None]
    states = [e[0]]
    for i, t in enumerate(scheduler.timesteps):
        noise = {"variance_noise": e[1 + calls + i] if i < draws else 0 * e[0]} if draws else {}
        states.append(scheduler.step(e[1 + i], t, states[-1], **noise).prev_sample)
    return torch.cat(states)


def assert_same(theirs, ours, tolerance=1e-4):
    """Relative to the largest coefficient of each state: diffusers' tables are float32."""
    assert theirs.shape == ours.shape
    size = theirs.abs().amax(1, keepdim=True)
    assert ((theirs - ours).abs() / size).max() < tolerance


KINDS = {"epsilon": "noise", "v_prediction": "v_prediction"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [5, 20])
def test_ddim_has_the_coefficients_of_diffusers(kind, n):
    scheduler = d.DDIMScheduler(clip_sample=False, prediction_type=kind, timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    process = processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())
    plan = solvers.ddim(process, chain_grid(scheduler, 0.0))
    assert_same(probe(scheduler), coefficients(plan.recast(KINDS[kind])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "order, n", [(2, 5), (2, 14), (2, 20), (3, 1), (3, 2), (3, 5), (3, 14), (3, 15), (3, 20)]
)
@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_dpm_multistep_has_the_coefficients_of_diffusers(kind, order, n, final):
    scheduler = d.DPMSolverMultistepScheduler(
        solver_order=order, prediction_type=kind, final_sigmas_type=final
    )
    scheduler.set_timesteps(n)
    process = processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())
    times = chain_grid(scheduler, 0.0 if final == "zero" else 1e-3)
    plan = solvers.dpm_multistep(process, times, order=order)
    assert_same(probe(scheduler), coefficients(plan.recast(KINDS[kind])))


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_the_sde_version_has_the_coefficients_of_diffusers(n, final):
    scheduler = d.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", final_sigmas_type=final)
    scheduler.set_timesteps(n)
    process = processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())
    times = chain_grid(scheduler, 0.0 if final == "zero" else 1e-3)
    plan = solvers.dpm_multistep(process, times, stochastic=True).recast("noise")
    assert_same(probe(scheduler, draws=len(plan.spans)), coefficients(plan))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis_of_diffusers_interpolates_in_log_snr(kind, order):
    """The paper interpolates in t; `deis` does, and diffusers is `exponential` in noise form."""
    scheduler = d.DEISMultistepScheduler(solver_order=order, prediction_type=kind, lower_order_final=False)
    scheduler.set_timesteps(10)
    process = processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())
    times = chain_grid(scheduler, 1e-3)
    plan = solvers.exponential(process, times, order=order, form="noise", variable="log-snr")
    theirs = probe(scheduler)
    assert_same(theirs, coefficients(plan.recast(KINDS[kind])))
    if order > 1:
        with pytest.raises(AssertionError):
            assert_same(theirs, coefficients(solvers.deis(process, times, order=order).recast(KINDS[kind])))


@pytest.mark.parametrize("kind", KINDS)
def test_heun_of_diffusers_is_a_rho_runge_kutta_method(kind):
    """Its state is x/α, and its timesteps name every middle node twice."""
    scheduler = d.HeunDiscreteScheduler(prediction_type=kind)
    scheduler.set_timesteps(10)
    process = processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())
    times = sorted({*chain_grid(scheduler, 0.0)}, reverse=True)
    plan = solvers.rho_rk(process, times).recast(KINDS[kind])
    alpha = torch.tensor([process.alpha(row.t) for row in plan.rows if row.call] + [1.0]).double()
    theirs = probe(scheduler) * alpha[:, None]
    theirs[:, 0] /= alpha[0]
    assert_same(theirs, coefficients(plan))


def test_flow_matching_of_diffusers_is_euler():
    scheduler = d.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(7)
    plan = solvers.euler(FLOW, scheduler.sigmas.double().tolist())
    assert_same(probe(scheduler), coefficients(plan.recast("velocity")))
