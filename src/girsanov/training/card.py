"""The model card: README.md with the header that the Hugging Face hub reads, written from the run.

The header is YAML. Every value in it is written as JSON, which YAML contains, so no name can break out of it.

Oracle: PyYAML and huggingface_hub read back what was told (tests/training/test_card.py).
Source: Hugging Face hub documentation, "Model Cards", sections on metadata and evaluation results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from girsanov.errors import require

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is told about a model beside what the model itself tells; all of it JSON.

    Args:
        name: the title; the folder's name if None.
        license: an identifier such as "apache-2.0"; left out if None, since it is not ours to choose.
        dataset: what the data is called; on the hub "owner/name".
        data: the data's own configuration (codec, classes), kept as it is for those who read it back.
        training: the record of the training; `fit` fills it in.
        results: what `evaluate` measured, a number for each name.

    Raises:
        InputError: a value that JSON cannot hold.
    """

    name: str | None = None
    license: str | None = None
    dataset: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                require(
                    False,
                    f"{name} of the card cannot be saved as JSON: {error}. Give names and finite numbers",
                )
        for name in ("name", "license", "dataset"):
            value = getattr(self, name)
            require(isinstance(value, str | None), f"{name} of the card is {value!r}; give a text, or None")
        for name in ("data", "training", "results"):
            value = getattr(self, name)
            require(isinstance(value, Mapping), f"{name} of the card is {value!r}; give a dictionary")
        for name, number in self.results.items():
            require(
                isinstance(number, int | float) and not isinstance(number, bool),
                f"result {name!r} is {number!r}; give a number",
            )


def written(folder: str, config: Mapping[str, Any], card: Card) -> str:
    """The text of README.md.

    Args:
        folder: the name of the folder, the title where the card has none.
        config: that of `config.json`.
        card: what was told.
    """
    title = card.name or folder
    kind, opened, use = "generative model", "load", "x = gv.sample(model, 16, seed=0)"
    if classifies(config):
        kind, opened, use = "classifier of noisy samples", "training.load_classifier", ""
    sections = [
        "\n".join(["---", *header(title, config, card), "---\n"]),
        f"# {plain(title)}\n",
        f"A {kind}, for samples of shape {config['shape']}, learned with Girsanov.\n",
        "```python\nimport girsanov as gv\n",
        f'model = gv.{opened}("{plain(folder)}")\n{use}\n```\n',
        table("Model", described(config)),
        table("Training", card.training),
        table("Results", card.results),
    ]
    return "\n".join(part for part in sections if part)


def header(title: str, config: Mapping[str, Any], card: Card) -> Iterator[str]:
    """The lines of the YAML header."""
    process = config["process"]
    schedule = process.get("schedule", process.get("kind"))
    yield 'library_name: "girsanov"'
    if card.license:
        yield f"license: {json.dumps(card.license)}"
    kind = "classifier" if classifies(config) else "generative-model"
    yield f"tags: {json.dumps([kind, 'diffusion', schedule, *config['predicts']])}"
    if card.dataset and HUB_NAME.fullmatch(card.dataset):
        yield f"datasets: {json.dumps([card.dataset])}"
    if card.results:
        yield f"metrics: {json.dumps(list(card.results))}"
        data = card.dataset or "unnamed data"
        result = {
            "task": {"type": "unconditional-generation", "name": "Generation"},
            "dataset": {"type": data, "name": data},
            "metrics": [{"type": name, "name": name, "value": value} for name, value in card.results.items()],
        }
        yield f"model-index: {json.dumps([{'name': title, 'results': [result]}])}"


def classifies(config: Mapping[str, Any]) -> bool:
    """Whether the model is a classifier of noisy samples, and no denoiser."""
    return config["predicts"][0] in ("label", "level")


def described(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model itself tells, for the table."""
    network = config["network"] or {}
    return {
        "network": config["network_class"],
        **{name: value for name, value in network.items() if name != "network"},
        "process": ", ".join(f"{name} {value}" for name, value in config["process"].items()),
        "predicts": ", ".join(config["predicts"]),
        "data_std": config["data_std"],
    }


def table(title: str, rows: Mapping[str, Any]) -> str:
    """A section with a table, or nothing if there are no rows."""
    if not rows:
        return ""
    lines = [f"| {plain(name)} | {plain(shown(value))} |" for name, value in rows.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *lines, ""])


def shown(value: Any) -> str:
    """A value for the reader: short numbers, cut lists."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def plain(text: str) -> str:
    """A text that stays on its line and in its cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("`", "'").replace("<", "&lt;").strip()
