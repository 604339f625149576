"""The parts of diffusion models as Lai et al. (2025) list them, and where each lives in this library.

`docs/principles.md` is `page()`; write it again with `python -m girsanov.papers.checklist docs/principles.md`.
An item without a name is not there yet.
Source: Lai, Song, Kim, Mitsufuji & Ermon (2025), The principles of diffusion models, arXiv 2510.21890.
Oracle: every name is imported, and the page is compared with the list (tests/papers/test_checklist.py).
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from girsanov import files
from girsanov.errors import require

CHECKLIST: dict[str, dict[str, str]] = {
    "The variational origin": {
        "DDPM's chain, posterior and ancestral sampling": "solvers.ancestral",
        "a trained chain as a process": "processes.DiscreteVP",
        "simple and weighted losses": "objectives.score_matching",
        "the variational bound": "solvers.variational_bound",
    },
    "The score origin": {
        "denoising score matching": "objectives.score_matching",
        "implicit score matching": "objectives.implicit_score_matching",
        "sliced score matching": "objectives.sliced_score_matching",
        "annealed Langevin dynamics": "solvers.PredictorCorrector",
        "variance exploding": "processes.VE",
        "variance preserving": "processes.VP",
        "sub-VP": "processes.SubVP",
    },
    "The flow origin": {
        "change of variables, exact likelihood": "solvers.log_likelihood",
        "flow matching, conditional paths": "objectives.flow_matching",
        "rectified flow": "processes.RectifiedFlow",
        "paths between two laws": "processes.StochasticInterpolant",
        "couplings": "transport.MinibatchOT",
    },
    "One view": {
        "the flow ODE": "solvers.flow",
        "forward and reverse SDE": "solvers.euler_maruyama",
        "predictions and their conversion": "denoiser.AbstractDenoiser",
        "schedules up to time and scale": "denoiser.Rescaled",
        "noise levels as in EDM": "processes.EDM",
    },
    "Guidance": {
        "classifier guidance": "guidance.classifier",
        "classifier-free guidance": "guidance.classifier_free",
        "training-free guidance by a measurement": "",
        "preference optimization": "",
    },
    "Solvers": {
        "DDIM": "solvers.ddim",
        "DEIS": "solvers.deis",
        "DPM-Solver": "solvers.dpm_singlestep",
        "DPM-Solver++": "solvers.dpm_multistep",
        "Heun on EDM's grid": "solvers.heun",
        "parallel in time (ParaDiGMS)": "",
    },
    "Learned fast generators": {
        "progressive distillation": "",
        "knowledge distillation": "",
        "distribution matching (VSD, DMD)": "",
        "consistency models": "",
        "consistency trajectory models": "",
        "mean flow": "",
        "flow maps of a trained model": "solvers.flow",
    },
}
"""Item → public name below `girsanov`, by part."""

HEAD = """# Principles

The parts of diffusion models as *The principles of diffusion models* (Lai, Song, Kim, Mitsufuji & Ermon, 2025,
arXiv 2510.21890) lists them, and the name that holds each. What the identities of the book give in numbers is in the
gallery, under `principles`.
"""


def find(name: str) -> object:
    """The object of a public name below `girsanov`.

    Raises:
        InputError: there is no such name, or its room does not list it.
    """
    home, _, last = name.rpartition(".")
    module = import_module(f"girsanov.{home}")
    listed = getattr(module, "__all__", [last])
    require(hasattr(module, last) and last in listed, f"girsanov.{name} does not exist")
    return getattr(module, last)


def page() -> str:
    """The checklist as a page of the documentation."""
    lines = [HEAD]
    for part, items in CHECKLIST.items():
        lines += [f"## {part}\n", "| item | where |", "|---|---|"]
        lines += [f"| {item} | {link(name) if name else 'not yet there'} |" for item, name in items.items()]
        lines.append("")
    return "\n".join(lines)


def link(name: str) -> str:
    """A public name, linked to its entry in the API, or to the paper that holds it in the gallery."""
    room, *_, last = name.split(".")
    home = str(getattr(find(name), "__module__", ""))
    if room == "papers":
        return f"[`{name}`](gallery.md#{home.rpartition('.')[2].replace('_', '-')})"
    return f"[`{name}`](api/{room}.md#{home}.{last})"


if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), page())
