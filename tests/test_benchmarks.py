"""The benchmarks: each runs on made-up data with a tiny model; their arithmetic; and the pages' tables, which are what
the scripts make of the result files.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.core.records import Example, SystemAnswers
from metier.evaluation.measure import Measure, score_main
from metier.evaluation.over_tasks import TaskAnswers
from metier.systems.asker import LabelScores
from metier.systems.registry import SYSTEMS
from tests.engines.fake_vllm import make_environment

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = (
    "adapters",
    "beginnings",
    "encoders",
    "generation",
    "input_form",
    "kcenter",
    "label_priors",
    "low_data",
    "low_data_targets",
    "predict",
    "precision",
    "products",
    "readings",
    "regions",
    "scale",
    "self_guide",
    "serving",
    "side_by_side",
    "tables",
    "tolerance",
    "training",
)
# How long an example takes says how busy the machine is, and nothing about the code.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
TRANSCRIBED = ("ticket_routing", "speed", "regions", "low_data_transcribed")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def last_line(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the JSON object that a benchmark ends with."""
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the table scripts import each other, as they do when one of them is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def tables(on_path: None) -> ModuleType:
    return importlib.import_module("tables")


@pytest.fixture
def pages(tables: ModuleType, tmp_path: Path) -> Path:
    """A copy of the pages that hold tables."""
    for page in tables.PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    return tmp_path


def test_the_committed_pages_hold_what_the_result_files_say(tables: ModuleType) -> None:
    assert tables.main(["--check"]) == 0


def test_a_figure_changed_by_hand_is_found_and_put_right(
    tables: ModuleType, pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages / "docs" / "results.md"
    before = page.read_text(encoding="utf-8")
    changed = before.replace("| 49.6 |", "| 94.6 |")  # a published figure
    assert changed != before
    page.write_text(changed, encoding="utf-8")
    assert tables.main(["--check"], pages) == 1
    assert "docs/results.md is out of date" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == changed
    assert tables.main([], pages) == 0
    assert page.read_text(encoding="utf-8") == before


def test_every_table_of_the_page_of_results_is_generated(tables: ModuleType) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    by_hand = tables.BLOCK.sub("", page)
    assert [line for line in by_hand.splitlines() if line.startswith("|")] == []


def test_every_table_stands_on_a_page(tables: ModuleType) -> None:
    shown = {
        block["name"]
        for page in tables.PAGES
        for block in tables.BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))
    }
    assert shown == set(tables.TABLES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- table: demo -->\nno end", "has no <!-- end -->"),
        ("<!-- table: demo -->\n<!-- table: speed -->\n<!-- end -->", "has no <!-- end -->"),
        ("<!-- table: nothing -->\n<!-- end -->", "no such table: nothing"),
    ],
)
def test_a_wrong_marker_is_refused(tables: ModuleType, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tables.rewritten(text, "a page")


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_figures_taken_from_a_page_say_where_they_are_from(name: str) -> None:
    about = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text(encoding="utf-8"))["about"]
    assert {"command", "machine", "recorded"} <= about.keys()
    assert "commit" in about["recorded"]


def test_a_gain_is_significant_only_with_an_interval_above_zero_and_a_small_p(on_path: None) -> None:
    tables_format = importlib.import_module("tables_format")
    above, across = {"value": 3.0, "low": 1.0, "high": 5.0}, {"value": 3.0, "low": -1.0, "high": 7.0}
    judged = [
        tables_format.significant(*case) for case in ((above, 0.01), (across, 0.01), (above, 0.05), (above, None))
    ]
    assert judged == [True, False, False, False]


def test_a_difference_near_zero_keeps_its_sign(on_path: None) -> None:
    tables_format = importlib.import_module("tables_format")
    assert tables_format.gain({"value": 3.17, "low": -0.026, "high": 6.5}) == "+3.2 [-0.03, +6.5]"


@pytest.mark.parametrize(
    ("over_encoder", "p", "said"),
    [
        ({"value": 9.0, "low": 4.0, "high": 14.0}, 0.01, "significantly better than every other"),
        ({"value": 9.0, "low": 4.0, "high": 14.0}, 0.2, "not shown to be better"),
        ({"value": 9.0, "low": -1.0, "high": 14.0}, 0.01, "not shown to be better"),
    ],
)
def test_the_demonstration_is_called_better_by_the_one_standard(
    on_path: None, monkeypatch: pytest.MonkeyPatch, over_encoder: dict[str, float], p: float, said: str
) -> None:
    runs = importlib.import_module("tables_runs")

    def system(score: float, gain: dict[str, float] | None, p_value: float | None, seconds: float) -> dict[str, Any]:
        return {
            "scores": {"exact_match": score},
            "specialist_gain": gain,
            "p_value": p_value,
            "seconds": seconds,
        }

    run: dict[str, Any] = {
        "metric": "exact_match",
        "systems": {
            "few_shot": system(20.0, {"value": 70.0, "low": 60.0, "high": 80.0}, 0.001, 4.0),
            "encoder_synthetic": system(81.0, over_encoder, p, 0.5),
            "specialist": system(90.0, None, None, 3.0),
        },
    }
    monkeypatch.setattr(runs, "read", lambda name: run)
    told = runs.demo_verdict()
    assert "small encoder on the synthetic pairs (81.0)" in told
    assert said in told
    assert ("use the other" in told) == (said == "not shown to be better")
    run["product"] = {"title": "encoder", "why": "it is cheap"}
    ends = "The run ends with the encoder, because it is cheap." in runs.demo_verdict()
    assert ends == (said == "not shown to be better")


def test_the_table_has_a_line_for_each_run_and_its_failures(on_path: None) -> None:
    gain = {"value": 5.0, "low": 1.0, "high": 9.0}
    system = {"scores": {"rouge_l": 50.0}, "specialist_gain": gain, "seconds": 1.0}
    absent: dict[str, Any] = {"scores": {}, "specialist_gain": None, "note": "it could not be had"}
    done = {
        "metric": "rouge_l",
        "systems": {
            "copied_input": system,
            "few_shot": system,
            "specialist": {**system, "specialist_gain": None},
            "tfidf": absent,
        },
        "counts": {"training_pairs": 80},
        "gain": gain,
        "seconds": {"training": 10.0, "synthesis": 20.4},
    }
    self_guide = importlib.import_module("tables_runs").self_guide
    lines = self_guide({"m/backward/t": done, "m/self-guide/t": {"error": "only 3; more"}}).splitlines()
    assert lines[2].startswith("| m | backward | t | 80 | 50.0 |")
    assert lines[2].endswith("| +5.0 [+1.0, +9.0] | +5.0 [+1.0, +9.0] | 30 |")
    assert "only 3" in lines[3] and "more" not in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_the_page_on_scale_holds_what_its_arithmetic_gives() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    scale = load("scale")
    for table in (scale.tasks_table(), scale.bytes_table(), scale.pools_table()):
        assert table in page


def test_a_way_that_finds_a_tasks_rows_is_told_from_one_that_finds_its_topics() -> None:
    from metier.selection import kcenter
    from metier.selection.cluster import cluster

    regions = load("regions")
    assert regions.data_set("ag_news_classify_with_choices") == "ag_news" and regions.data_set("own") == "own"
    rng = np.random.default_rng(0)
    kinds = [f"{name}_{k}" for name in ("ag_news", "paws", "trec") for k in ("a", "b")]
    templates = np.array([kind for kind in kinds for _ in range(150)])
    axes = np.eye(8)
    rows = np.array([axes[kinds.index(t) // 2] + 0.1 * rng.normal(size=8) for t in templates])
    codes = kcenter.encode((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), largest=1.0)
    found = regions.measure(codes, templates, cluster(codes, 3, 0), 5, 0.05)
    assert all(len(values) == 6 for values in found.values())
    assert np.mean(found["most like all texts, twice the budget"], axis=0)[1:].tolist() == [1.0, 1.0]
    assert np.mean(found["most like all texts, ten times"], axis=0)[1] < 0.7


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_how_it_is_run(on_path: None, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        load(name).main(["--help"])
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_what_the_tests_read_is_in_the_sdist() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert {"src", "tests", "benchmarks", "examples", "docs", "README.md"} <= set(built["targets"]["sdist"]["include"])


def test_every_script_is_among_those_tested() -> None:
    there = {path.stem for path in BENCHMARKS.glob("*.py") if "argparse" in path.read_text(encoding="utf-8")}
    assert there == set(SCRIPTS)


@pytest.fixture
def tiny_task(tiny_model: Path, tmp_path: Path) -> Path:
    """A task file of the tiny model, with 16 test rows beside it."""
    rows = [{"input": f"case {i} charged", "output": "billing" if i % 2 else "delivery"} for i in range(16)]
    write_lines(tmp_path / "test.jsonl", rows)
    path = tmp_path / "task.yaml"
    path.write_text(
        "name: tiny\ninstruction: Name the team.\nlabels: [billing, delivery]\n"
        "examples:\n  - {input: I was charged twice, output: billing}\n"
        "  - {input: the parcel is late, output: delivery}\n"
        f"model: {tiny_model}\ntest: test.jsonl\nengine: {{dtype: float32, device: cpu}}\n"
        "synthesis: {input_max_tokens: 12, output_max_tokens: 6, agreement: 0.01}\n"
        "training: {batch_size: 2}\nevaluation: {max_tokens: 6}\n",
        encoding="utf-8",
    )
    return path


def test_engines_are_compared_on_the_same_task(
    tiny_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_VLLM_TOLD", str(tmp_path / "told.json"))
    few = ["--inputs", "3", "--rows", "2", "--vllm", str(make_environment(tmp_path / "venv"))]
    few += ["--set", "synthesis.noise_filter=false"]
    load("generation").main(["--task", str(tiny_task), *few, "--engines", "plain", "metier", "vllm"])
    told = last_line(capsys)
    assert told["inputs"] == 3 and told["rows"] == 2
    assert set(told["engines"]) == {"plain", "metier", "metier, backward", "vllm"}
    assert all(engine["seconds"] > 0 for engine in told["engines"].values())
    assert told["engines"]["metier"]["labels_scored_a_second"] > 0
    assert "labels_scored_a_second" not in told["engines"]["plain"]
    assert told["engines"]["vllm"]["labels_scored_a_second"] > 0 and told["metier_faster_than_vllm"] > 0
    assert told["same_procedure_faster"] > 0 and told["scoring_over_generating"] > 0


def test_trainers_see_the_same_examples_equally_often(tiny_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("training").main(["--task", str(tiny_task), "--rows", "8", "--epochs", "2"])
    told = last_line(capsys)
    trl, metier = told["trainers"]["trl"], told["trainers"]["metier"]
    assert told["rows"] == 8
    assert trl["steps"] == metier["steps"] == 8
    assert len(trl["curve"]) == 8 and metier["curve"]
    assert told["unseen_loss_difference"] == pytest.approx(metier["unseen_loss"] - trl["unseen_loss"], abs=2e-4)


def test_two_at_once_are_compared_with_one_alone(
    on_path: None, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    side_by_side = load("side_by_side")
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\n"))
    side_by_side.main(["--model", str(tiny_model), "--rows", "4", "--work"])
    ready, seconds = capsys.readouterr().out.splitlines()[-2:]
    assert ready == "ready" and float(seconds) > 0
    monkeypatch.setattr(side_by_side, "_seconds", lambda arguments, environment, processes: 5.0 * processes)
    side_by_side.main([])
    found = last_line(capsys)["ways"]
    assert list(found)[:2] == ["as installed", "as Metier sets it"]
    assert {(way["alone_s"], way["together_s"], way["ratio"]) for way in found.values()} == {(5.0, 10.0, 2.0)}


def test_kcenter_chooses_the_points_of_the_plain_form(capsys: pytest.CaptureFixture[str]) -> None:
    load("kcenter").main(["--points", "600", "--width", "16", "--chosen", "12", "--large", "0"])
    told = last_line(capsys)
    assert told["same_points"] is True
    assert told["points"] == 600 and 0 < told["share_of_distances"] <= 1


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_predict_is_measured_on_files_of_several_sizes(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predict.json"
    predict = load("predict")
    predict.main(["--rows", "300", "--format", ending, "--out", str(out)])
    predict.main(["--rows", "10", "--format", ending, "--out", str(out)])
    told = last_line(capsys)
    assert told == json.loads(out.read_text(encoding="utf-8"))
    assert set(told["measured"]) == {f"{ending}, 300", f"{ending}, 10"}, "earlier results stay"
    for found in told["measured"].values():
        assert found["code"] == 0 and found["peak_bytes"] > 10**7 and found["processor_seconds"] > 0


def test_rows_of_several_adapters_are_written_alike_mixed_and_grouped(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--adapters", "2", "--rows", "2", "--prompt", "6", "--steps", "3", "--repeats", "2"]
    load("adapters").main(["--model", str(tiny_model), "--dtype", "float32", *few])
    told = last_line(capsys)
    assert told["same_tokens"] == 1.0
    assert told["mixed_over_grouped"]["writing"] > 0 and told["seconds"]["grouped"]["reading"] > 0


def test_servers_are_measured_by_clients(on_path: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.serving.made import write_labels_run, write_replacements_run

    out, run = tmp_path / "serving.json", write_labels_run(tmp_path / "routing")
    serving = load("serving")
    for clients in ("1", "3"):
        serving.main([str(run), "--hosts", "metier", "--clients", clients, "--seconds", "0.3", "--out", str(out)])
    told = json.loads(out.read_text(encoding="utf-8"))["measured"]
    assert [one["clients"] for one in told] == [1, 3], "earlier results stay"
    assert last_line(capsys) == told[-1]
    for found in told:
        assert found["errors"] == 0 and found["answers"] > 0 and found["memory_after"] > 10**7
        assert 0 < found["p50_seconds"] <= found["p95_seconds"]
    assert serving.product_loads([write_replacements_run(tmp_path / "plain")])[0].path == "/v1/chat/completions"


def test_the_table_of_servers_is_in_the_order_of_models_and_clients(
    on_path: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = importlib.import_module("tables_serving")
    one = {"model": "b", "host": "x", "clients": 8, "answers_a_second": 2.5, "p50_seconds": 0.25, "p95_seconds": None}
    one |= {"errors": 1, "memory_before": 10e6, "memory_after": 12.5e6}
    monkeypatch.setattr(table, "read", lambda name: {"measured": [one, {**one, "model": "a"}]})
    *_, first, second = table.serving().splitlines()
    assert first == "| a | x | 8 | 2.5 | 250 |  | 1 | 12 | +2 |" and second.startswith("| b |")


def test_the_tables_of_scale_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    scale = load("scale")
    scale.main([])
    assert scale.pools_table() in capsys.readouterr().out


def test_ways_to_find_a_tasks_part_are_measured_on_templates(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"template": f"{name}_{k}", "prompt": f"{name}: text {k} of number {i}", "completion": "yes"}
        for name in ("ag_news", "trec")
        for k in ("a", "b")
        for i in range(101)
    ]
    rows.append({"template": "trec_a", "prompt": "long " * 200, "completion": "no"})
    write_parquet(tmp_path / "instruct" / "p3_sample.parquet", rows)
    regions = load("regions")
    regions.main(["--data", str(tmp_path), "--encoder", str(tiny_model), "--budget", "0.05"])
    told = last_line(capsys)
    assert told["pool_rows"] == 404, "a prompt that is too long is not taken"
    assert told["tasks"] == 4
    assert set(told["by"]) == set(regions.WAYS)
    assert all(0 <= way["precision"] <= 1 and way["rows"] > 0 for way in told["by"].values())


@pytest.fixture
def inference_data(tmp_path: Path) -> Path:
    """Made-up files with the columns that the study of inference reads."""
    labels = {"rte": ("entailment", "not_entailment"), "cb": ("entailment", "neutral", "contradiction")}
    labels |= {f"anli_r{k}": ("e", "n", "c") for k in (1, 2, 3)}
    write_parquet(
        tmp_path / "nli" / "nli.parquet",
        [
            {
                "dataset": name,
                "split": split,
                "premise": f"it is day {i} of {name}",
                "hypothesis": f"{split} {name} {i}",
            }
            | {"label": own[i % len(own)]}
            for name, own in labels.items()
            for split in (("train", "val") if name in ("rte", "cb") else ("dev",))
            for i in range(4)
        ],
    )
    pool = [{"template": "t", "prompt": f"Is {i} even?", "completion": "yes" if i % 2 else "no"} for i in range(40)]
    pool.append({"template": "t", "prompt": "Premise: it is day 0\nval rte 0", "completion": "yes"})
    pool = [{**row, "completion": f"{row['completion']}<|endoftext|>"} for row in pool]
    write_parquet(tmp_path / "instruct" / "p3_sample.parquet", pool)
    told = [
        {"task": "task1", "definition": ["Say whether it follows."], "categories": ["Textual Entailment"]},
        {"task": "task1385", "definition": ["Made from the targets."], "categories": ["Textual Entailment"]},
        {"task": "task2", "definition": "Sum up.", "categories": ["Summarization"]},
    ]
    write_lines(tmp_path / "superni" / "definitions.jsonl", told)
    write_parquet(
        tmp_path / "superni" / "instances.parquet",
        [{"task": d["task"], "id": str(i), "input": f"pair {i}", "outputs": ["yes"]} for d in told for i in range(4)],
    )
    tested = [{"task": "task1", "input": "pair 3", "output": "yes"}]
    write_parquet(tmp_path / "superni" / "selfguide_test.parquet", tested)
    return tmp_path


def test_rows_selected_for_inference_are_judged_on_five_sets(
    inference_data: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METIER_CACHE", str(inference_data / "cache"))
    out = inference_data / "out"
    arguments = ["--data", str(inference_data), "--out", str(out), "--model", str(tiny_model), "--encoder", "student"]
    small = ["--shares", "0.1", "--seeds", "1", "--epochs", "1", "--controls"]
    load("low_data").main([*arguments, "--strategies", "k_center", *small])
    told = last_line(capsys)
    pool = pyarrow.parquet.read_table(out / "pool.parquet").to_pylist()
    asked = [row["prompt"] for row in pool]
    assert not any("val rte 0" in text for text in asked), "a row with a test's hypothesis is left out"
    assert not any("Made from the targets" in text or "Sum up" in text for text in asked)
    assert "Say whether it follows.\n\npair 0" in asked and "Say whether it follows.\n\npair 3" not in asked
    assert not any("endoftext" in row["completion"] for row in pool)
    assert told["pool_rows"] == len(pool) == 43
    assert [v["name"] for v in told["variants"]] == ["no tuning", "random, 10%", "k_center, 10%"]
    assert [v["name"] for v in told["calibrated"]] == [v["name"] for v in told["variants"]]
    for variant in told["variants"]:
        sets = {name: score["value"] for name, score in variant["by_task"].items()}
        assert set(sets) == {"rte", "cb", "anli_r1", "anli_r2", "anli_r3"}
        assert variant["mean"]["value"] == pytest.approx(np.mean(list(sets.values())))
    assert set(told["variants"][2]["over"]) == {"random"}
    assert (out / "study.html").exists()
    assert len(list(out.glob("training-*"))) == 2, "both readings of the labels share the models"


def test_the_pool_may_hold_the_targets_own_rows_and_none_that_is_tested(inference_data: Path) -> None:
    script = load("low_data")
    targets = [script._target(inference_data, name, 2) for name in ("rte", "anli_r1")]
    own = list(script._own(inference_data, targets))
    assert {(row["dataset"], row["split"]) for row, _ in own} >= {("rte", "train"), ("cb", "train"), ("anli_r1", "dev")}
    assert all(row["split"] == "train" or row["dataset"].startswith("anli") for row, _ in own)
    tested = {text for target in targets for text in target.inputs}
    assert not tested & {script._asked(row) for row, _ in own}
    assert not {text.split("\n")[0] for text in tested} & {f"Premise: {row['premise']}" for row, _ in own}
    assert all(row["hypothesis"] in asked and row["premise"] in asked for row, asked in own)
    assert {asked.endswith("Yes or no?") for row, asked in own if row["dataset"] == "rte"} == {True}


def test_readings_are_told_apart_by_what_they_know_of_the_labels(on_path: None) -> None:
    script = load("readings")
    right = [i % 2 for i in range(40)]
    knows = np.array([[-1.0, -2.0] if label == 0 else [-2.0, -1.0] for label in right])
    knows[0] = knows[0, ::-1]
    noise = np.array([[-1.0, -9.0] if i % 4 < 2 else [-9.0, -1.0] for i in range(40)])
    told = script.measure(knows, noise, right)
    assert (told["rows"], told["labels"]) == (40, 2) and abs(told["correlation"]) < 0.1
    assert told["forwards"] == {"all": 97.5, "kept": 95.0} and told["by correlation"]["all"] == 97.5
    assert told["backwards"]["all"] == told["added up"]["all"] == 50.0 < told["one spread"]["all"]
    assert script.measure(knows, 9 * knows, right)["one spread"]["all"] == 97.5


def test_readings_are_of_rows_outside_the_test(on_path: None, tmp_path: Path, tiny_model: Path) -> None:
    told = {"task": "task190", "instruction": "Say which.", "labels": [], "examples": [{"input": "a", "output": "E"}]}
    write_lines(tmp_path / "superni" / "tasks.jsonl", [told])
    rows = [{"task": "task190", "input": f"case {i}", "outputs": ["ECN"[i % 3]]} for i in range(12)]
    write_parquet(tmp_path / "superni" / "instances.parquet", rows)
    write_parquet(
        tmp_path / "superni" / "selfguide_test.parquet", [{"task": "task190", "input": "case 3", "output": "E"}]
    )
    out = tmp_path / "out.json"
    asked = [
        "--data",
        str(tmp_path),
        "--models",
        str(tiny_model),
        "--tasks",
        "task190",
        "--rows",
        "9",
        "--out",
        str(out),
    ]
    script = load("readings")
    brief, chosen = script._task(script._arguments(asked), "task190")
    assert brief.labels == ("E", "C", "N") and [row.output for row in chosen] == ["E"] * 3 + ["C"] * 3 + ["N"] * 3
    assert "case 3" not in {row.input for row in chosen}
    script.main(asked)
    (found,) = json.loads(out.read_text(encoding="utf-8"))["models"].values()
    assert found["task190"]["rows"] == 9 and set(script.WAYS) <= set(found["task190"])


@pytest.fixture
def many_tasks(tmp_path: Path) -> Path:
    """Two data sets of two templates each, of which one has rows enough to be a target, and two tasks of a kind."""
    words = ("river", "stone", "cloud", "wheel", "lamp", "chair", "glass")
    rows = [
        {"template": f"{name}_{k}", "prompt": f"{name} {k}: {words[i % 7]} {i} {words[i // 7 % 7]}?"}
        | {"completion": f"{'yes' if i % 2 else 'no'}<|endoftext|>"}
        for name in ("ag_news", "trec")
        for k, several in (("a", 64), ("b", 30))
        for i in range(several if name == "ag_news" else 20)
    ]
    write_parquet(tmp_path / "instruct" / "p3_sample.parquet", rows)
    told = [{"task": f"task{k}", "definition": ["Sum up."], "categories": ["Summarization"]} for k in (1, 2)]
    write_lines(tmp_path / "superni" / "definitions.jsonl", told)
    write_parquet(
        tmp_path / "superni" / "instances.parquet",
        [{"task": d["task"], "id": str(i), "input": f"text {i}", "outputs": ["so"]} for d in told for i in range(9)],
    )
    return tmp_path


def test_every_way_to_choose_is_tried_on_many_targets(
    many_tasks: Path,
    tiny_model: Path,
    on_path: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("METIER_CACHE", str(many_tasks / "cache"))
    script = load("low_data_targets")
    monkeypatch.setattr(script, "_LEAST", 60)
    results = many_tasks / "results"
    files = ["--data", str(many_tasks), "--runs", str(many_tasks / "runs"), "--results", str(results)]
    small = ["--model", str(tiny_model), "--encoder", "student", "--share", "0.1", "--limit", "8", "--epochs", "1"]
    small += ["--series", "related", "--strategies", "k_center"]
    script.main([*files, *small])
    assert last_line(capsys)["targets"] == ["ag_news_a"], "no other has rows enough"
    told = json.loads((results / tiny_model.name / "related" / "ag_news_a.json").read_text(encoding="utf-8"))
    assert told["labels"] == ["no", "yes"] and told["metric"] == "exact_match"
    ways = ["no tuning", "random", "k_center", "all that count as the task's"]
    assert set(told["variants"]) == {*ways, script.PUBLISHED, script.OWN}
    assert {len(way["rows"]["0"].split()) for way in told["variants"].values()} == {8}
    rows = {name: way["facts"].get("rows") for name, way in told["variants"].items()}
    assert rows["random"] == rows["k_center"] == rows[script.PUBLISHED] == round(0.1 * told["pool_rows"])
    means = json.loads((results / "means.json").read_text(encoding="utf-8"))[tiny_model.name]["related"]
    assert means["k_center"]["targets"] == 1 and means["k_center"]["over_chance"] is None, "one target has no interval"
    before = (results / "means.json").stat().st_mtime_ns
    script.main([*files, *small])
    assert (results / "means.json").stat().st_mtime_ns == before, "what is done is not done again"


def test_the_pool_of_a_target_holds_no_part_of_its_test(many_tasks: Path, on_path: None) -> None:
    script = load("low_data_targets")
    own = [script.Row("a", "g", f"the same eight words stand in every row {i} tail", "yes") for i in range(150)]
    text = "here is a passage that only one row of the template holds"
    own[70] = script.Row("a", "g", text, "no")
    target = script._target("a", "g", own)
    tested = own[70] in target.test
    others = [script.Row("b", "g", f"Another question. {text} Is it?", "x"), script.Row("b", "g", "free", "x")]
    others += [script.Row("c", "h", "the same eight words stand in every row of c", "x")]
    kept = script.pool_for([*own, *others], target, "related")
    assert kept == (others[1:] if tested else others)
    assert script.pool_for([*own, *others], target, "unrelated") == others[2:]
    assert len(target.examples) == 5 and {row.completion for row in target.examples} <= {"yes", "no"}


@pytest.fixture(scope="module")
def labelled_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run of a made-up task by the SELF-GUIDE benchmark, and its line in the results."""
    folder = tmp_path_factory.mktemp("self-guide")
    examples = [{"input": "I was charged twice", "output": "billing"}, {"input": "it is late", "output": "delivery"}]
    task = {"task": "task9", "instruction": "Name the team.", "examples": examples, "metric": "exact_match"}
    write_lines(folder / "superni" / "tasks.jsonl", [{**task, "labels": ["billing", "delivery"]}])
    rows = [{"task": "task9", "input": f"case {i}", "output": "billing" if i < 12 else "delivery"} for i in range(24)]
    write_parquet(folder / "superni" / "selfguide_test.parquet", rows)
    small = ['engine.dtype="float32"', 'engine.device="cpu"', "synthesis.inputs=24", "synthesis.min_pairs=1"]
    small += ["synthesis.input_max_tokens=12", "synthesis.noise_filter=false", "synthesis.near_duplicates=null"]
    small += ["training.epochs=1", "training.batch_size=4", 'evaluation.baselines=["zero_shot"]']
    small += ["evaluation.resamples=200", "evaluation.max_tokens=6", "evaluation.timed_rows=0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        files = ["--data", str(folder), "--runs", str(folder / "runs"), "--results", str(folder / "results")]
        wanted = ["--models", str(tiny_model), "--tasks", "task9", "--rows", "20", "--set", *small]
        key = f"{tiny_model.name}/backward/task9"
        script = load("self_guide")
        script.main([*files, *wanted, "--recipes", "backward", "--one", key])
        script.main([*files, *wanted, "--recipes", "backward"])
        with pytest.raises(UserError, match=r"task9\.json: made with .*--as" if False else r"task9\.json: made with"):
            script.main([*files, *wanted, "--recipes", "backward", "--seed", "1"])
    told = json.loads((folder / "results" / f"{key}.json").read_text(encoding="utf-8"))
    assert told["run"] == key
    return folder / "runs" / key, told


def test_a_run_of_self_guide_tells_every_way_to_read_labels(labelled_run: tuple[Path, dict[str, Any]]) -> None:
    _, told = labelled_run
    assert told["counts"]["test_rows"] == 20
    ways = told["priors"]
    assert set(ways) == {"writing", "mean", "total", "content_free", "synthetic", "real"}
    systems = {name: system["scores"]["exact_match"] for name, system in told["systems"].items()}
    same = {"writing": "specialist_written", "total": "specialist_constrained", "synthetic": "specialist"}
    for way, system in same.items():
        assert ways[way]["accuracy"] == pytest.approx(systems[system], abs=0.01), f"{way} is what {system} answers"
    assert ways["writing"]["gain_over_writing"] is None
    assert set(ways["real"]["gain_over_writing"]) == {"value", "low", "high"}


def test_priors_are_measured_on_skewed_rows_beside_earlier_results(
    labelled_run: tuple[Path, dict[str, Any]], tmp_path: Path, on_path: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, told = labelled_run
    label_priors = load("label_priors")
    out = tmp_path / "results" / "label_priors.json"
    label_priors.main([str(folder), "--out", str(out), "--quiet"])
    label_priors.main([str(folder), "--skew", "0.8", "--out", str(out), "--quiet"])
    assert last_line(capsys)["test rows"] == "skew 0.8"
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found) == {"as in the test file", "skew 0.8"}
    (plain,), (drawn,) = found["as in the test file"]["runs"], found["skew 0.8"]["runs"]
    assert plain["ways"] == told["priors"]
    assert drawn["rows"] == 15 and drawn["share_of_commonest_label"] == 0.8
    (mean,) = found["skew 0.8"]["mean"].values()
    assert mean["real"]["accuracy"] == drawn["ways"]["real"]["accuracy"]
    assert mean["real"]["gain_over_writing"] is None, "one task has no interval over tasks"


def test_what_is_no_finished_run_with_labels_is_refused(
    labelled_run: tuple[Path, dict[str, Any]], tmp_path: Path, on_path: None
) -> None:
    label_priors = load("label_priors")
    with pytest.raises(UserError, match="no finished run"):
        label_priors.main([str(tmp_path), "--quiet"])
    run = tmp_path / "run"
    shutil.copytree(labelled_run[0], run)
    facts = json.loads((run / "result.json").read_text(encoding="utf-8"))
    task = facts["settings"]

    def said(facts: dict[str, Any], task: dict[str, Any]) -> str:
        (run / "result.json").write_text(json.dumps(facts), encoding="utf-8")
        (run / "task.json").write_text(json.dumps(task), encoding="utf-8")
        with pytest.raises(UserError) as refused:
            label_priors.main([str(run), "--quiet"])
        return refused.value.message

    assert "made by Metier 0.0.1" in said(facts | {"metier_version": "0.0.1"}, task)
    assert "other settings than the finished run" in said(facts, task | {"seed": 7})
    for change, why in (({"labels": None}, "no labels"), ({"test": None}, "no test set")):
        assert why in said(facts | {"settings": task | change}, task | change)
    (trained,) = run.glob("training-*")
    shutil.rmtree(trained)
    assert "has been made again" in said(facts, task)


@UNHURRIED
@given(
    common=st.integers(4, 60),
    others=st.integers(3, 60),
    share=st.floats(0.5, 0.9),
    several=st.integers(4, 200),
    seed=st.integers(0, 5),
)
def test_skewed_rows_have_the_share_and_come_in_order(
    common: int, others: int, share: float, several: int, seed: int
) -> None:
    label_priors = _label_priors()
    rows = [Example(f"a{i}", "a") for i in range(common)] + [
        Example(f"b{i}", f"b{i % 3}") for i in range(min(others, common))
    ]
    try:
        drawn = label_priors.skewed(rows, share, several, seed)
    except UserError as error:
        assert "too few" in error.message
        return
    assert len(drawn) <= several
    assert abs(sum(row.output == "a" for row in drawn) - share * len(drawn)) <= 0.5
    places = [rows.index(row) for row in drawn]
    assert places == sorted(set(places))
    assert label_priors.skewed(rows, share, several, seed) == drawn


@UNHURRIED
@given(
    rows=st.lists(st.lists(st.integers(-40, 0), min_size=3, max_size=3), min_size=2, max_size=30),
    bias=st.lists(st.integers(-64, 64), min_size=3, max_size=3),
)
def test_what_a_model_likes_of_each_label_anyway_changes_nothing_with_a_real_prior(
    rows: list[list[int]], bias: list[int]
) -> None:
    """Half of the rows say how likely each label is anyway, so a constant added to a label is taken off again."""
    label_priors = _label_priors()

    def answers(shift: list[int]) -> list[str]:
        # Sums of few small integers over a power of two are exact, so that ties stay ties.
        moved = tuple(tuple(float(x + s) for x, s in zip(row, shift, strict=True)) for row in padded)
        found: list[str] = label_priors.by_the_other_half(LabelScores(moved, (1, 1, 1)), ("a", "b", "c"), 0)
        return found

    size = 1 << (len(rows).bit_length() - 1)
    padded = rows[:size]
    assert answers(bias) == answers([0, 0, 0])


def test_rows_that_were_not_asked_have_no_answer_and_no_part_in_the_prior() -> None:
    given_scores = LabelScores(((-1.0, -2.0), (), (-1.0, -4.0)), (1, 1))
    answers = _label_priors().by_the_other_half(given_scores, ("a", "b"), 0)
    assert answers[1] == ""
    assert sorted([answers[0], answers[2]]) == ["a", "b"], "of two rows each is judged by the other"


def test_means_are_by_model_and_leave_out_what_a_task_does_not_have() -> None:
    label_priors = _label_priors()
    measure = Measure("exact_match", ("a", "b"), resamples=200)
    rows = [Example(str(i), "a") for i in range(8)]

    def measured(task: str, model: str, **right: int) -> Any:
        scores = {way: score_main(measure, rows, ["a"] * n + ["b"] * (8 - n)) for way, n in right.items()}
        return label_priors.Measured(task, model, 8, 1.0, scores, measure)

    found = label_priors.means(
        [
            measured("one", "small", writing=4, total=6, synthetic=8),
            measured("two", "small", writing=2, total=6),
            measured("one", "large", writing=8, total=8),
        ]
    )
    assert found["small"]["total"]["accuracy"] == 75.0 and found["small"]["writing"]["accuracy"] == 37.5
    gain = found["small"]["total"]["gain_over_writing"]
    assert gain["value"] == pytest.approx(37.5) and gain["low"] < 37.5 < gain["high"]
    assert found["small"]["synthetic"]["tasks"] == 1 and found["small"]["synthetic"]["gain_over_writing"] is None
    assert found["large"]["total"]["accuracy"] == 100.0


def _label_priors() -> ModuleType:
    return sys.modules.get("label_priors") or load("label_priors")


def test_means_of_self_guide_tell_what_of_real_labels_is_recovered(on_path: None, tmp_path: Path) -> None:
    script = load("self_guide_means")
    rows = [Example(f"case {i}", "yes") for i in range(10)]
    measure = Measure("exact_match", ("yes", "no"))
    right = {
        "backward": {"zero_shot": 2, "few_shot": 4, "specialist": 7},
        "gold": {"few_shot": 4, "specialist": 8},
        "real-50": {"few_shot": 4, "specialist": 6},
    }

    def written(recipe: str, **several: int) -> None:
        systems = tuple(
            SystemAnswers(key, key, SYSTEMS[key].kind, tuple("yes" if i < right else "no" for i in range(10)))
            for key, right in several.items()
        )
        for task in ("task190", "task199"):
            told = {"row_scores": script.row_scores(TaskAnswers(task, measure, tuple(rows), systems))}
            path = tmp_path / "m" / recipe / f"{task}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(told), encoding="utf-8")

    for recipe, systems in right.items():
        written(recipe, **systems)
    (tmp_path / "m" / "backward" / "task738.json").write_text(json.dumps({"error": "too few"}), encoding="utf-8")
    (groups,) = script.means(tmp_path).values()
    told = groups["tuning, labels"]["exact_match"]["backward"]
    assert told["scores"] == {"zero_shot": 20.0, "few_shot": 40.0, "specialist": 70.0}
    assert told["best_untuned"] == "few_shot" and told["over_few_shot"]["value"] == pytest.approx(30.0)
    assert told["gold"]["score"] == 80.0 and told["gold"]["label_recovery"] == 0.75
    assert "over_backward" not in told
    assert groups["held out, labels"]["exact_match"] == {}, "nothing was run there"
    variant = groups["tuning, labels"]["exact_match"]["real-50"]
    assert variant["over_backward"]["gain"]["value"] == pytest.approx(-10.0)
    assert variant["scores"]["zero_shot"] == 20.0, "what is not tuned is not asked again for a variant"
    written("gold", few_shot=4, specialist=3)
    script.write_means(tmp_path)
    (line,) = [x for x in load("tables_self_guide").variants(tmp_path).splitlines() if "exact match" in x]
    assert "190: 70.0 → 60.0, 199: 70.0 → 60.0 | -10.0 [" in line and "real-50" in line
    (groups,) = json.loads((tmp_path / "means.json").read_text(encoding="utf-8")).values()
    assert groups["tuning, labels"]["exact_match"]["backward"]["gold"]["label_recovery"] is None


def test_the_table_of_self_guides_tasks_has_real_labels_beside_the_specialist(on_path: None, tmp_path: Path) -> None:
    tables = load("tables_self_guide")

    def system(score: float) -> dict[str, Any]:
        gain = {"value": 1.5, "low": -1.0, "high": 4.0}
        return {"scores": {"rouge_l": score}, "specialist_gain": gain}

    run = {
        "metric": "rouge_l",
        "counts": {"pairs_by_origin": {"synthetic": 116, "example": 3}},
        "systems": {"copied_input": system(77.0), "few_shot": system(78.0), "specialist": system(80.0)},
        "seconds": {"training": 10.0, "answers": 20.4},
    }
    for name, told in {
        "backward/task1195": run,
        "gold/task1195": {**run, "systems": {"specialist": system(91.0)}},
        "backward/task36": {"error": "only 3 pairs; more"},
    }.items():
        path = tmp_path / "m" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told), encoding="utf-8")
    lines = tables.tasks("m", tmp_path).splitlines()
    assert "only 3 pairs" in lines[2] and "more" not in lines[2]
    assert lines[3].startswith("| task1195 | 116 | 77.0 |")
    assert lines[3].endswith("| 80.0 | 91.0 | +1.5 [-1.0, +4.0] | 30 |")
    assert len({line.count("|") for line in lines}) == 1
    assert tables.means(tmp_path).count("\n") == 1, "no means yet"


def test_real_inputs_go_through_the_filters_that_examples_make(on_path: None, tmp_path: Path) -> None:
    (tmp_path / "superni").mkdir()
    inputs = ["Fact: aa", "Fact: " + "b" * 5, "Fact: " + "c" * 40, "no name", "Fact: a\nb"]
    table = pyarrow.table({"task": ["task036"] * 5, "input": inputs})
    pyarrow.parquet.write_table(table, tmp_path / "superni" / "instances.parquet")
    examples = [{"input": text, "output": "a"} for text in ("Fact: aaa", "Fact: bbbbb")]
    told = {"task": "task036", "instruction": "Name the topic.", "labels": [], "examples": examples}
    write_lines(tmp_path / "superni" / "tasks.jsonl", [told])
    out = tmp_path / "out.json"
    load("input_form").main(["--data", str(tmp_path), "--tasks", "task036", "--results", str(out)])
    (told,) = json.loads(out.read_text())["tasks"].values()
    # Characters: 8, 11, 46, 7 and 9, of examples with 9 and 11.
    assert told["pass"] == {"mean ± 2σ": 60.0, "half to twice": 80.0, "lines": 80.0, "names of parts": 80.0}
