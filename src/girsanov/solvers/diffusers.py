"""To and from diffusers: a plan as the scheduler of a pipeline, its models as denoisers.

A chain with signal power ᾱ_i at step i of N is the process with α = √ᾱ_i at t = (i + 1)/N (`DiscreteVP`);
flow matching is the rectified flow. Models are asked in their own units of time, and answer in words
that have a twin here:

    chain: N t - 1      others: N t      EDM: -λ/4 = ¼ log σ, within EDM's preconditioning
    epsilon = noise     sample = data    v_prediction     flow_prediction = velocity of a flow

`to_diffusers` drives `solvers.run.steps`, the one loop, so a pipeline gives the images of `run`.
`from_diffusers` takes over the process and the prediction, not the sampler: clipping, thresholding and
the spacing of a scheduler are left behind.
Oracle: images of `run`; coefficients read off diffusers' samplers by basis vectors (tests/solvers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, Unsuitable, choose, extra, require
from girsanov.noise import Law, Randomness, Sequential, Source, as_source, normal
from girsanov.processes import EDM, DiscreteVP, Interpolant, RectifiedFlow
from girsanov.processes.base import like_batch
from girsanov.processes.schedules import Straight, TabulatedVP
from girsanov.solvers.plan import INITIAL, Plan, Term
from girsanov.solvers.run import Loop, steps
from girsanov.typing import Shape, Tree

WORDS = {"epsilon": "noise", "sample": "data", "v_prediction": "v_prediction", "flow_prediction": "velocity"}
"""What diffusers calls a prediction, and what it is called here."""


# Out: a plan as a scheduler.


def to_diffusers(
    plan: Plan, *, prediction_type: str | None = None, num_train_timesteps: int | None = None
) -> Any:
    """A plan as a scheduler: `pipe.scheduler = plan.to_diffusers()` gives the images of `run`.

    Call the pipeline with `num_inference_steps=plan.calls`. For a stochastic plan give the pipeline a
    generator, else its noise is fresh every time. The scheduler is saved and loaded with the pipeline.

    Args:
        plan: on a one-sided process, asking the denoiser first at the initial sample.
        prediction_type: what the pipeline's model answers: epsilon, sample, v_prediction or
            flow_prediction; by default epsilon, and flow_prediction on a rectified flow.
        num_train_timesteps: N of the model's time; by default a chain's length, else 1000.

    Returns:
        A `PlanScheduler`, a SchedulerMixin and ConfigMixin of diffusers.

    Raises:
        MissingExtra: diffusers is not installed.
        Unsuitable: a pipeline cannot run this plan.
    """
    require(
        isinstance(plan, Plan),
        f"a pipeline runs plans, whose coefficients are numbers, and those of {type(plan).__name__} depend on the "
        "state; give a Plan, such as solvers.dpm_multistep",
        Unsuitable,
    )
    chain = plan.process.schedule if isinstance(plan.process.schedule, TabulatedVP) else None
    if prediction_type is None:
        prediction_type = "flow_prediction" if isinstance(plan.process.schedule, Straight) else "epsilon"
    if num_train_timesteps is None:
        num_train_timesteps = len(chain.log_alphas) if chain else 1000
    return scheduler_class()(plan.to_config(), prediction_type, num_train_timesteps)


@cache
def scheduler_class() -> type:
    """The class `PlanScheduler`: `PlanSteps` as diffusers wants it, made when diffusers is asked for."""
    diffusers = extra("diffusers", "diffusers")
    register = extra("diffusers.configuration_utils", "diffusers").register_to_config
    bases = (PlanSteps, diffusers.SchedulerMixin, diffusers.ConfigMixin)
    return type("PlanScheduler", bases, {"__module__": __name__, "__init__": register(PlanSteps.__init__)})


def __getattr__(name: str) -> Any:
    """Saved pipelines ask the module of a component for its class and the base they know; pickles too."""
    if name == "PlanScheduler":
        return scheduler_class()
    if name == "SchedulerMixin":
        return extra("diffusers", "diffusers").SchedulerMixin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class PlanSteps:
    """A plan in the protocol of diffusers' schedulers.

    A pipeline may edit the sample between steps; the edit reaches everything after it.

    Args:
        plan: as `Plan.to_config` gives it.
        prediction_type: see `to_diffusers`.
        num_train_timesteps: N of the model's time.

    Attributes:
        timesteps: the model's time of each call, integers where all of them are.
        init_noise_sigma: the scale of the first sample.
    """

    order = 1

    def __init__(self, plan: dict, prediction_type: str, num_train_timesteps: int) -> None:
        words = (choose(prediction_type, WORDS, "prediction_type"),)
        self.plan = Plan.from_config(plan).recast(words)
        process, first = self.plan.process, self.plan.rows[0]
        require(
            process.end == "noise",
            f"a pipeline starts from noise alone, and {process!r} has two ends; use sample instead",
            Unsuitable,
        )
        require(
            first.call and first.terms == (Term(INITIAL, 0, 1.0),),
            "a pipeline asks its model first, at the initial sample, and row 0 of this plan does not",
            Unsuitable,
        )
        require(
            prediction_type != "flow_prediction" or isinstance(process.schedule, Straight),
            f"flow_prediction is the velocity of a rectified flow, and the plan is for {process!r}; give "
            "prediction_type='epsilon', 'sample' or 'v_prediction'",
            Unsuitable,
        )
        require(
            num_train_timesteps > 0, f"num_train_timesteps is {num_train_timesteps}; give a number above 0"
        )
        self._clock = Clock.of(process, num_train_timesteps)
        self.init_noise_sigma = (process.alpha(first.t) ** 2 + process.gamma(first.t) ** 2) ** 0.5
        self.set_timesteps()

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Go back to the start. The number can only be that of the plan: its calls, or its steps."""
        accepted = {self.plan.calls, len(self.plan.grid) - 1}
        require(
            num_inference_steps is None or num_inference_steps in accepted,
            f"num_inference_steps is {num_inference_steps}, and this scheduler is a plan of "
            f"{self.plan.calls} calls. Pass num_inference_steps={self.plan.calls}, or make another plan.",
        )
        times = [self._clock.scale * row.t - self._clock.shift for row in self.plan.rows if row.call]
        whole = all(abs(time - round(time)) < 1e-6 for time in times)
        self.timesteps = torch.tensor(
            [round(time) for time in times] if whole else times,
            dtype=torch.int64 if whole else torch.float32,
            device=device,
        )
        self.num_inference_steps = len(times)
        self._loop: Loop | None = None
        self._given: Tensor | None = None
        self._position = 0

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample itself: a plan's states are what the model was trained on."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: Randomness | list[torch.Generator] = None,
        return_dict: bool = True,
    ) -> Any:
        """Send the model's answer at `sample`; returns the next sample to ask at, at last the image.

        Args:
            model_output: (B, C, *rest); of 2C channels the second half, a learned variance, is dropped.
            timestep: the one of `timesteps` whose turn it is.
            sample: (B, C, *rest).
            generator: of the first step counts; one, or one for each sample.
            return_dict: False for a tuple.

        Raises:
            InputError: the pipeline starts in the middle, or skips a step.
        """
        due = float(self.timesteps[self._position])
        require(
            abs(float(timestep) - due) <= 1e-6 * max(1.0, abs(due)),
            f"step was called at timestep {float(timestep):g}, and the plan is due at {due:g}. Plans run whole: "
            "call set_timesteps before each run, and to start from a partly noisy image make a plan with "
            "grid(..., start=t).",
        )
        if self._loop is None:
            self._loop = steps(self.plan, sample, _source(generator))
            _, self._live = next(self._loop)
        elif sample is not self._given:
            self._live.state = sample.to(self._live.state.dtype)
        self._given = self._advance(mean_of(model_output, sample)).to(sample.dtype)
        if not return_dict:
            return (self._given,)
        return extra("diffusers.schedulers.scheduling_utils", "diffusers").SchedulerOutput(self._given)

    def _advance(self, answer: Tensor) -> Tensor:
        """Run the rows up to the next call, or to the end."""
        assert self._loop is not None
        answers: tuple[Tensor, ...] | None = (answer,)
        try:
            while True:
                row, self._live = self._loop.send(answers)
                if row.call:
                    self._position += 1
                    return self._live.state
                answers = None
        except StopIteration as done:
            self._loop, self._position = None, 0
            return done.value

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """α x_0 + γ z at the model's times (B,): what a model is trained on, and where editing starts."""
        t = (timesteps.double().to(original_samples.device) + self._clock.shift) / self._clock.scale
        alpha, _, gamma = self.plan.process.schedule.values(t)
        return like_batch(alpha, original_samples) * original_samples + like_batch(gamma, noise) * noise


class Clock(NamedTuple):
    """A model's time: scale · t - shift."""

    scale: float
    shift: float

    @classmethod
    def of(cls, process: Interpolant, n: int) -> Clock:
        return cls(float(n), 1.0 if isinstance(process.schedule, TabulatedVP) else 0.0)


@dataclass(frozen=True)
class _Each:
    """A generator for each sample, as pipelines take them."""

    sources: tuple[Sequential, ...]

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor:
        require(
            len(self.sources) == len(like),
            f"{len(self.sources)} generators for {len(like)} samples; give one for each",
        )
        return torch.cat([s.draw(like[i : i + 1], index, law) for i, s in enumerate(self.sources)])

    def child(self, scope: int) -> _Each:
        return self

    def shifted(self, by: int) -> _Each:
        return self


def _source(generator: Randomness | list[torch.Generator]) -> Source:
    if isinstance(generator, list):
        return _Each(tuple(Sequential(g) for g in generator))
    return as_source(generator)


# In: a model as a denoiser.


def from_diffusers(model: nn.Module, scheduler: Any) -> Denoiser:
    """A diffusers model as a denoiser, with the process and prediction of the scheduler it was trained with.

    Args:
        model: UNet2DModel, UNet2DConditionModel, DiTTransformer2DModel or another that is called with
            the sample, `timestep` and conditions by name. `cond` is given as `class_labels` if it holds
            integers, as `encoder_hidden_states` if floats, and a dictionary under its own names.
        scheduler: any with a table of ᾱ (DDPM, DDIM, DPM-Solver, Euler, …), of flow matching, or EDM's.

    Returns:
        A Denoiser of a DiscreteVP, a RectifiedFlow or an EDM process.

    Raises:
        MissingExtra: diffusers is not installed.
        Unsuitable: the scheduler's process has no counterpart here, or ends at zero signal.
    """
    diffusers, config = extra("diffusers", "diffusers"), scheduler.config
    kind, predicted = type(scheduler).__name__, config.get("prediction_type", "epsilon")
    edm = (diffusers.EDMEulerScheduler, diffusers.EDMDPMSolverMultistepScheduler)
    flow = (diffusers.FlowMatchEulerDiscreteScheduler, diffusers.FlowMatchHeunDiscreteScheduler)
    shape = _shape(model)
    if isinstance(scheduler, edm):
        require(predicted == "epsilon", f"{kind} with prediction_type {predicted!r} is not known here; "
                "only 'epsilon', the network of Karras et al., is", Unsuitable)  # fmt: skip
        process, network = EDM(config.sigma_min, config.sigma_max), DiffusersNetwork(model, Clock(1.0, 0.0))
        return Denoiser(network, process, data_std=config.sigma_data, shape=shape)
    if isinstance(scheduler, flow) or config.get("use_flow_sigmas") or predicted == "flow_prediction":
        process, predicted = RectifiedFlow(), "flow_prediction"
    else:
        process = _chain(scheduler)
    network = DiffusersNetwork(model, Clock.of(process, config.num_train_timesteps))
    word = choose(predicted, WORDS, "prediction_type")
    return Denoiser(network, process, predicts=word, data_std=None, shape=shape)


class DiffusersNetwork(nn.Module):
    """A diffusers model called as network(x, t, cond).

    Args:
        model: see `from_diffusers`.
        clock: the model's time.
    """

    def __init__(self, model: nn.Module, clock: Clock) -> None:
        super().__init__()
        self.model, self.clock = model, clock

    def forward(self, x: Tensor, t: Tensor, cond: Tree) -> Tensor:
        timestep = t.float() * self.clock.scale - self.clock.shift
        return mean_of(self.model(x, timestep=timestep, return_dict=False, **_named(cond))[0], x)


def mean_of(answer: Tensor, x: Tensor) -> Tensor:
    """The prediction, (B, C, *rest), of a model that may answer with a learned variance behind it."""
    return answer[:, : x.shape[1]] if answer.shape[1] == 2 * x.shape[1] else answer


def _named(cond: Tree) -> dict[str, Any]:
    if cond is None:
        return {}
    if isinstance(cond, Mapping):
        return dict(cond)
    if isinstance(cond, Tensor):
        return {"encoder_hidden_states" if cond.is_floating_point() else "class_labels": cond}
    raise InputError(
        f"cond is {type(cond).__name__}; give a tensor, or a dictionary of the model's arguments"
    )


def _chain(scheduler: Any) -> Interpolant:
    kind, table = type(scheduler).__name__, getattr(scheduler, "alphas_cumprod", None)
    if table is None or scheduler.config.get("timestep_type") == "continuous":
        raise Unsuitable(
            f"the process of {kind} is not known here. Give a scheduler with a table alphas_cumprod, such as "
            "DDPMScheduler, one of flow matching, or EDMEulerScheduler."
        )
    require(  # DPM-Solver and Euler put 2**-24 last, which is more than what comes before it
        bool(0 < table[-1] < table[-2]),
        f"{kind} ends at zero signal (rescale_betas_zero_snr), where the log-SNR is infinite. End it just "
        "above: scheduler.alphas_cumprod[-1] = scheduler.alphas_cumprod[-2] / 2",
        Unsuitable,
    )
    return DiscreteVP(table.double().tolist())


def _shape(model: nn.Module) -> Shape | None:
    """The shape of a sample, where the model's configuration tells it."""
    config = getattr(model, "config", {})
    size = config.get("sample_size")
    if size is None or "2D" not in type(model).__name__:  # only there is a size a height and a width
        return None
    return (config["in_channels"], *((size, size) if isinstance(size, int) else size))
