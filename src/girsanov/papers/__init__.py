"""Papers: what each one claims, a short module that measures it, and what was measured."""

from girsanov.papers.base import BUDGETS, Bar, Budget, Claim, Paper
from girsanov.papers.registry import PAPERS, get, load_results, run
from girsanov.papers.report import PALETTE, Report, Verdict, canvas

__all__ = [
    "BUDGETS",
    "PALETTE",
    "PAPERS",
    "Bar",
    "Budget",
    "Claim",
    "Paper",
    "Report",
    "Verdict",
    "canvas",
    "get",
    "load_results",
    "run",
]
