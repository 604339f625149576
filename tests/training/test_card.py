"""The model card: what was told comes back from the YAML and from the hub's own reader."""

import pytest
import yaml
from training_tools import tiny

from girsanov.errors import InputError
from girsanov.training import Card, save

EVIL = 'a "b"\n---\nlicense: evil | `rm` <script> {} [] # : é'


def parts(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_header_is_yaml_with_what_was_told(tmp_path):
    told = Card(
        name="Digits", license="cc-by-4.0", dataset="owner/digits", results={"two_sample_1nn": 0.52, "n": 3}
    )
    save(tiny(), tmp_path / "m", card=told)
    header, body = parts(tmp_path / "m")
    assert header["library_name"] == "girsanov" and header["license"] == "cc-by-4.0"
    assert header["datasets"] == ["owner/digits"] and header["metrics"] == ["two_sample_1nn", "n"]
    result = header["model-index"][0]["results"][0]
    assert {m["type"]: m["value"] for m in result["metrics"]} == {"two_sample_1nn": 0.52, "n": 3}
    assert "# Digits" in body and "two_sample_1nn | 0.52" in body and "LinearVP" in body


def test_what_was_not_told_is_not_claimed(tmp_path):
    save(tiny(), tmp_path / "m")
    header, body = parts(tmp_path / "m")
    assert set(header) == {"library_name", "tags"}
    assert "Results" not in body and "Training" not in body and "# m\n" in body


def test_no_name_breaks_out_of_its_place(tmp_path):
    save(
        tiny(), tmp_path / "m", card=Card(name=EVIL, dataset=EVIL, results={EVIL: 1.0}, training={EVIL: EVIL})
    )
    header, body = parts(tmp_path / "m")
    assert "license" not in header and header["model-index"][0]["name"] == EVIL
    assert header["metrics"] == [EVIL] and "<script>" not in body
    assert all(
        line.count("|") - line.count("\\|") == 3 for line in body.splitlines() if line.startswith("| ")
    )


def test_the_hub_reads_the_card(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    save(tiny(), tmp_path / "m", card=Card(results={"loss": 0.25}, dataset="digits", license="mit"))
    card = hub.ModelCard.load(tmp_path / "m" / "README.md")
    assert card.data.library_name == "girsanov" and card.data.license == "mit"
    assert [(r.metric_type, r.metric_value) for r in card.data.eval_results] == [("loss", 0.25)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": {"x": object()}}, {"data": {"x": float("nan")}}, {"results": {"a": "good"}},
        {"results": {"a": float("inf")}}, {"results": {"a": True}}, {"name": 3}, {"data": [1]},
        {"results": 3.0}, {"license": ["mit"]},
    ],
)  # fmt: skip
def test_a_card_holds_json_only(wrong):
    with pytest.raises(InputError):
        Card(**wrong)
