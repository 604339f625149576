"""Monte Carlo with a learned denoiser: chains that walk near the data, and denoising from where they are."""

from girsanov.montecarlo.denoising_mcmc import Chains, DenoisingMCMC, Drawn
from girsanov.montecarlo.langevin_gibbs import LangevinGibbs
from girsanov.montecarlo.score_mh import ScoreMetropolisHastings, Walked

__all__ = ["Chains", "DenoisingMCMC", "Drawn", "LangevinGibbs", "ScoreMetropolisHastings", "Walked"]
