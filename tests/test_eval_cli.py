"""`whenwhere eval` through the command line, on a small Charades-STA that the test writes."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import browser, visit

Run = Callable[..., subprocess.CompletedProcess[str]]
VIDEOS, PER_VIDEO = 12, 3
SENTENCES = ("a person opens the door", "a person sits down", "somebody pours a glass of water and drinks it")


def annotations(folder: Path, seed: int = 0, split: str = "test") -> Path:
    """36 sentences on 12 videos of 20 to 42 seconds, with Charades' table of lengths."""
    rng = np.random.default_rng(seed)
    lines, lengths = [], ["id,length"]
    for v in range(VIDEOS):
        seconds = 20 + 2 * v
        lengths.append(f"V{v:02},{seconds}")
        for n in range(PER_VIDEO):
            start = rng.uniform(0, seconds - 6)
            lines.append(f"V{v:02} {start:.1f} {start + rng.uniform(2, 6):.1f}##{SENTENCES[n]}.")
    (folder / f"Charades_v1_{split}.csv").write_text("\n".join(lengths) + "\n")
    path = folder / f"charades_sta_{split}.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def truths(path: Path) -> dict[str, list[float]]:
    counts: dict[str, int] = {}
    out = {}
    for line in path.read_text().splitlines():
        video, start, end = line.split("##")[0].split()
        out[f"{video}#{counts.setdefault(video, 0)}"] = [float(start), float(end)]
        counts[video] += 1
    return out


def write(path: Path, answers: dict[str, list]) -> Path:
    path.write_text("".join(json.dumps({"id": k, "spans": [v] if v else []}) + "\n" for k, v in answers.items()))
    return path


def moved(path: Path, sigma: float, seed: int = 1) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    out = {}
    for key, (start, end) in truths(path).items():
        a, b = start + rng.normal(0, sigma), end + rng.normal(0, sigma)
        out[key] = [round(max(0.0, a), 2), round(max(b, a + 0.5, 0.5), 2)]
    return out


@pytest.fixture(scope="module")
def charades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotations(tmp_path_factory.mktemp("charades"))


@pytest.fixture
def scored(cli: Run, charades: Path, tmp_path: Path) -> Callable[..., dict]:
    """Scores answers and gives the JSON object that was printed."""

    def score(answers: dict[str, list] | str, *options: object) -> dict:
        path = tmp_path / "answers.jsonl"
        if isinstance(answers, str):
            path.write_text(answers)
        else:
            write(path, answers)
        done = cli("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", path,
                   "--json", *options)  # fmt: skip
        return json.loads(done.stdout)

    return score


def row(report: dict, name: str) -> dict:
    return next(r for r in report["rows"] if r["name"] == name)


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_the_truth_scores_one_and_constants_stand_beside_it(charades, scored):
    found = scored(truths(charades))
    assert {found["summary"][m] for m in ("R1@0.3", "R1@0.5", "R1@0.7", "mIoU")} == {1.0}
    assert found["items"] == found["scored"] == VIDEOS * PER_VIDEO
    assert found["videos"] == VIDEOS
    assert found["faults"] == []
    assert found["intervals"]["mIoU"] == [1.0, 1.0]
    # the whole video, counted here by hand
    lengths = {line.split(",")[0]: float(line.split(",")[1]) for line in
               (charades.parent / "Charades_v1_test.csv").read_text().split()[1:]}  # fmt: skip
    whole = [(e - s) / lengths[k.split("#")[0]] for k, (s, e) in truths(charades).items()]
    assert row(found, "whole video")["summary"]["mIoU"] == pytest.approx(np.mean(whole), abs=1e-12)
    best = row(found, "best constant span")
    assert best["summary"]["mIoU"] > np.mean(whole)
    assert "(optimistic: fitted on the test items)" in best["how"]


def test_the_best_constant_comes_from_train_where_it_is_given(charades, scored, tmp_path):
    train = annotations(tmp_path, seed=5, split="train")
    found = scored(truths(charades), "--train", train)
    assert "fitted on the training items" in row(found, "best constant span")["how"]
    # without lengths nothing can be fitted there, and that is said
    (tmp_path / "Charades_v1_train.csv").unlink()
    assert "no durations" in row(scored(truths(charades), "--train", train), "best constant span")["how"]


def test_swaps_show_answers_that_know_the_sentence(charades, scored):
    knows = scored(truths(charades))
    assert "these answers, there" not in [r["name"] for r in knows["rows"]]  # all items take part
    assert row(knows, "query swap")["summary"]["mIoU"] < 0.5
    assert row(knows, "video swap")["summary"]["mIoU"] < 0.5
    # one answer for all sentences of a video: the swap changes nothing
    same = {k: truths(charades)[k.split("#")[0] + "#0"] for k in truths(charades)}
    deaf = scored(same)
    assert row(deaf, "query swap")["summary"] == deaf["summary"]


def test_a_blind_file_stands_beside(charades, scored, tmp_path):
    blind = write(tmp_path / "blind.jsonl", {k: [0.0, 5.0] for k in truths(charades)})
    found = scored(truths(charades), "--blind", blind)
    assert 0 < row(found, "blind")["summary"]["mIoU"] < 1
    assert found["files"]["blind"] == str(blind)


def test_failure_modes_have_names(charades, scored):
    late = {k: [s + 2, e + 3] for k, (s, e) in truths(charades).items()}
    found = scored(late)["diagnostics"]
    assert found["mean start error (s)"] == pytest.approx(2)
    assert found["mean end error (s)"] == pytest.approx(3)
    assert found["slope of start error over duration"] == pytest.approx(0, abs=1e-9)
    lengths = 20 + 2 * np.arange(VIDEOS)
    slow = {
        k: [s + 0.1 * lengths[int(k[1:3])], e + 0.1 * lengths[int(k[1:3])]] for k, (s, e) in truths(charades).items()
    }
    assert scored(slow)["diagnostics"]["slope of start error over duration"] == pytest.approx(0.1)
    lazy = scored({k: [0.0, float(lengths[int(k[1:3])])] for k in truths(charades)})["diagnostics"]
    assert lazy["whole-video rate of answers"] == lazy["answers that start at 0"] == 1.0
    assert lazy["share of the most frequent answer (fractions)"] == 1.0
    assert lazy["share of the most frequent answer (seconds)"] == pytest.approx(1 / VIDEOS)
    assert lazy["mean fraction of the video answered"] == 1.0


def test_protocols_count_differently_and_say_how(charades, scored):
    answers = truths(charades)
    lost = next(iter(answers))
    del answers[lost]
    counted = scored(answers)
    assert counted["summary"]["mIoU"] == pytest.approx(1 - 1 / len(truths(charades)))
    dropped = scored(answers, "--protocol", "timelens")
    assert dropped["summary"]["mIoU"] == 1.0
    assert dropped["scored"] == dropped["items"] - 1
    assert any("left out" in note for note in dropped["notes"])
    assert dropped["protocol"]["counts"]["missing answer"] == "left out"


def test_what_is_left_out_is_said_where_the_number_stands(cli, charades, tmp_path):
    answers = write(tmp_path / "answers.jsonl", dict(list(truths(charades).items())[1:]))
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--protocol", "timelens")
    assert "35 counted of 36 items" in cli(*call, "--predictions", answers).stdout
    # nothing counted at all is no number, and no crash
    answers.write_text("")
    done = cli(*call, "--predictions", answers, "--out", tmp_path / "out")
    assert "0 counted of 36 items" in done.stdout and "–" in done.stdout
    assert json.loads((tmp_path / "out" / "report.json").read_text())["summary"]["mIoU"] is None


# -- bad input --------------------------------------------------------------------------------------------------------


def lines(answers: dict[str, list], **changes: str) -> str:
    return "".join(changes.get(k, json.dumps({"id": k, "spans": [v]})) + "\n" for k, v in answers.items())


BAD = {
    "unknown id": (lambda k: json.dumps({"id": "V99#9", "spans": [[1, 2]]}), "V99#9"),
    "missing": (lambda k: "", "V00#0"),
    "not a number": (lambda k: '{"id": "%s", "spans": [[NaN, 4]]}' % k, "V00#0"),  # noqa: UP031
    "reversed": (lambda k: json.dumps({"id": k, "spans": [[9, 4]]}), "V00#0"),
    "torn line": (lambda k: '{"id": "%s", "spa' % k, "1"),  # noqa: UP031
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_entries_are_wrong_and_said_and_refused_when_strict(cli, charades, tmp_path, kind):
    broken, named = BAD[kind]
    first = next(iter(truths(charades)))
    path = tmp_path / "answers.jsonl"
    path.write_text(lines(truths(charades), **{first: broken(first)}))
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", path, "--json")
    done = cli(*call)
    found = json.loads(done.stdout)
    assert kind in {f["kind"] for f in found["faults"]}
    # one sentence with file and place and what to do, and the denominator stands
    said = next(line for line in done.stderr.splitlines() if named in line)
    assert str(path) in said and ";" in said
    assert found["scored"] == found["items"] == VIDEOS * PER_VIDEO
    assert found["summary"]["mIoU"] == pytest.approx(1 - 1 / (VIDEOS * PER_VIDEO))
    refused = cli(*call, "--strict", status=1)
    assert refused.stdout == ""
    assert "--strict" in refused.stderr.splitlines()[-1] and kind in refused.stderr.splitlines()[-1]


def test_the_first_of_two_answers_counts(charades, scored):
    first = next(iter(truths(charades)))
    text = lines(truths(charades)) + json.dumps({"id": first, "spans": [[0, 0.1]]}) + "\n"
    found = scored(text)
    assert found["summary"]["mIoU"] == 1.0
    assert [f["kind"] for f in found["faults"]] == ["duplicate id"]
    assert f":{VIDEOS * PER_VIDEO + 1}" in found["faults"][0]["where"]


def test_spans_outside_the_video_count_as_written(charades, scored):
    first, (start, end) = next(iter(truths(charades).items()))
    found = scored(truths(charades) | {first: [start, 500.0]})
    assert [f["kind"] for f in found["faults"]] == ["out of range"]
    rest = VIDEOS * PER_VIDEO - 1
    assert found["summary"]["mIoU"] == pytest.approx((rest + (end - start) / (500 - start)) / (rest + 1))


def test_an_empty_file_is_all_wrong(charades, scored):
    found = scored("")
    assert found["summary"]["mIoU"] == 0.0
    assert found["status"] == {"missing": VIDEOS * PER_VIDEO}
    assert "empty" in {f["kind"] for f in found["faults"]}


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--benchmark", "charades-st"], 2, "charades-sta"),
        (["--benchmark", "charade"], 2, "did you mean charades-sta or charades-cd?"),
        (["--protocol", "activitynet-caption"], 2, "did you mean activitynet-captions?"),
        (["--protocol", "tacoz"], 2, "tacos"),
        (["--protocol", "activitynet-1.3"], 2, None),
        (["--annotations", "nowhere.txt"], 1, "nowhere.txt"),
        (["--predictions", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["--format", "csv"], 2, "csv"),
        (["--export", "pdf", "--out", "x"], 2, "pdf"),
        (["--export", "md"], 2, "--out"),
    ],
)
def test_wrong_usage_is_one_sentence(cli, charades, tmp_path, options, status, said):
    answers = write(tmp_path / "answers.jsonl", truths(charades))
    call = {"--benchmark": "charades-sta", "--annotations": charades, "--predictions": answers}
    call |= dict(zip(options[::2], options[1::2], strict=True))
    done = cli("eval", *(word for pair in call.items() for word in pair), status=status, cwd=tmp_path)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert said is None or said in done.stderr


def test_a_negative_seed_is_wrong_usage(cli, charades, tmp_path):
    answers = write(tmp_path / "answers.jsonl", truths(charades))
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", answers)
    said = cli(*call, "--seed", "-1", status=2).stderr
    assert "--seed" in said and "fault of whenwhere" not in said


def test_options_that_a_matrix_cannot_use_are_refused(cli, tmp_path):
    np.save(tmp_path / "sims.npy", np.eye(4))
    call = ("eval", "--benchmark", "retrieval", "--predictions", tmp_path / "sims.npy")
    for option in ("--blind", "--train", "--format"):
        assert option in cli(*call, option, "spans", status=2).stderr


def test_strict_says_how_many_answers_are_missing(cli, charades, tmp_path):
    part = write(tmp_path / "part.jsonl", dict(list(truths(charades).items())[5:]))
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", part)
    assert "5 × missing" in cli(*call, "--strict", status=1).stderr.splitlines()[-1]


def test_a_zero_is_printed_as_the_original_prints_it(cli, charades, tmp_path):
    answers = write(tmp_path / "answers.jsonl", {key: [0.0, 0.01] for key in truths(charades)})
    out = tmp_path / "out"
    shown = cli("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", answers,
                "--out", out, "--export", "csv").stdout  # fmt: skip
    cells = {(r["row"], r["column"]): r["value"] for r in csv.DictReader((out / "report.csv").open())}
    assert cells["R1@0.7", "value"] == "0.0"
    # one number for one measure, in percent with the two digits of the papers
    line = next(line for line in shown.splitlines() if line.split()[:1] == ["R1@0.7"])
    assert line.split() == ["R1@0.7", "0.00", "0.00", "–", "0.00"] and "official" not in shown


def test_what_is_needed_is_said(cli, tmp_path):
    for options, said in (([], "--benchmark"), (["--benchmark", "tacos"], "--predictions")):
        assert said in cli("eval", *options, status=2).stderr
    assert "--annotations" in cli("eval", "--benchmark", "tacos", "--predictions", "x", status=2).stderr


# -- two files --------------------------------------------------------------------------------------------------------


def test_two_files_are_compared_item_by_item(cli, charades, tmp_path):
    near, far = (write(tmp_path / f"{s}.jsonl", moved(charades, s)) for s in (0.2, 4.0))
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", near, far)
    first, second, found = map(json.loads, cli(*call, "--json", "--out", tmp_path / "out").stdout.splitlines())
    gap = found["comparison"]["differences"]["mIoU"]
    assert gap["mean"] == pytest.approx(first["summary"]["mIoU"] - second["summary"]["mIoU"])
    assert 0 < gap["low"] < gap["mean"] < gap["high"]
    assert found["comparison"]["bootstrap"] == {"resamples": 10000, "seed": 0, "clusters": "video", "level": 0.95}
    # a file with itself: no difference, and an interval that knows it
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", near, near)
    assert json.loads(cli(*call, "--json").stdout.splitlines()[-1])["comparison"]["differences"]["mIoU"] == {
        "mean": 0.0, "low": 0.0, "high": 0.0
    }  # fmt: skip
    shown = cli(*call[:-1], far).stdout
    assert "Difference (A − B)" in shown and "excludes 0" in shown
    found = {p.name for p in (tmp_path / "out").iterdir()}
    assert found == {"first", "second", *(f"comparison.{e}" for e in ("json", "md", "tex", "csv", "html"))}


def test_several_files_make_one_table_of_one_row_each_in_every_export(cli, charades, tmp_path):
    """Whether each file has its own `--predictions` or all stand behind one."""
    files = [write(tmp_path / f"s{s}.jsonl", moved(charades, s)) for s in (0.2, 1.0, 4.0)]
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions")
    each = [word for file in files for word in ("--predictions", file)][1:]
    done = cli(*call, *each, "--out", tmp_path / "out", "--export", "json,tex,csv,md,html")
    names = ["s0.2", "s1.0", "s4.0"]
    values = [json.loads((tmp_path / f"out/{part}/report.json").read_text())["summary"]["mIoU"]
              for part in ("first", "second", "third")]  # fmt: skip
    assert values[0] > values[1] > values[2]
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] and line.split()[0] in names]
    assert [row[0] for row in rows] == names and [row[4] for row in rows] == [f"{100 * v:.2f}" for v in values]
    tex = (tmp_path / "out/comparison.tex").read_text()
    rows = [line.split(" & ") for line in tex.splitlines() if line.split(" & ")[0] in names]
    assert [row[0] for row in rows] == names and tex.count(r"\begin{table}") == 1
    assert [row[4].split()[0] for row in rows] == [f"{100 * v:.2f}" for v in values]
    table = list(csv.DictReader((tmp_path / "out/comparison.csv").open()))
    assert [(row["file"], float(row["mIoU"])) for row in table] == list(zip(map(str, files), values, strict=True))
    assert float(table[2]["mIoU, first minus this"]) == pytest.approx(values[0] - values[2])
    with browser() as running:
        page, seen = visit(running, tmp_path / "out/comparison.html")
        assert seen.errors == []
        assert page.locator('section:first-of-type tr[data-kind="answers"] td:first-child').all_inner_texts() == names
    found = [json.loads(line) for line in cli(*call, *files, "--json").stdout.splitlines()]
    assert [list(value)[1] for value in found] == ["benchmark"] * 3 + ["comparison"] * 2
    assert [value["summary"]["mIoU"] for value in found[:3]] == values
    # two files of one name are told apart by their folders
    (tmp_path / "other").mkdir()
    twin = write(tmp_path / "other" / "s0.2.jsonl", moved(charades, 2.0))
    shown = cli(*call, files[0], "--predictions", twin).stdout
    assert str(files[0]) in shown and str(twin) in shown


def test_other_items_are_not_compared(cli, charades, tmp_path):
    whole = write(tmp_path / "whole.jsonl", truths(charades))
    part = write(tmp_path / "part.jsonl", dict(list(truths(charades).items())[5:]))
    strangers = write(tmp_path / "other.jsonl", {"Z#0": [1.0, 2.0]})
    call = ("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", whole)
    # under a protocol that leaves unanswered items out, two files are means over different items
    done = cli(*call, part, "--protocol", "timelens", status=1)
    assert "cannot be compared" in done.stderr.splitlines()[-1] and "5 items" in done.stderr.splitlines()[-1]
    assert "answers none" in cli(*call, strangers, status=1).stderr.splitlines()[-1]
    # under one that counts them as wrong, they are the same items
    cli(*call, part)


# -- what is written --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(cli: Run, charades: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report <&> é")
    answers = write(folder / "a<b>.jsonl", moved(charades, 1.0) | {"V00#0": [9.0, 4.0]})
    cli("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", answers,
        "--out", folder / "out", "--export", "json,items,parquet,md,tex,csv,html")  # fmt: skip
    return folder / "out"


def test_every_item_has_its_score_beside_the_summary(written):
    from pyarrow import parquet

    report = json.loads((written / "report.json").read_text())
    rows = [json.loads(line) for line in (written / "items.jsonl").read_text().splitlines()]
    assert len(rows) == VIDEOS * PER_VIDEO
    assert np.mean([r["mIoU"] for r in rows]) == pytest.approx(report["summary"]["mIoU"], abs=1e-12)
    assert rows[0]["id"] == "V00#0" and rows[0]["answer"] == [9.0, 4.0] and rows[0]["mIoU"] == 0
    table = parquet.read_table(written / "items.parquet")
    assert table.column("mIoU").to_pylist() == [r["mIoU"] for r in rows]
    assert table.column("id").to_pylist() == [r["id"] for r in rows]


def test_tables_hold_the_same_numbers(written):
    report = json.loads((written / "report.json").read_text())
    value = report["summary"]["mIoU"]
    cells = {
        (r["row"], r["column"]): r["value"] for r in csv.DictReader(io.StringIO((written / "report.csv").read_text()))
    }
    assert float(cells["mIoU", "value"]) == value
    assert float(cells["mIoU", "95 % interval, low"]) == report["intervals"]["mIoU"][0]
    text = (written / "report.md").read_text()
    assert f"| mIoU | {100 * value:.2f} |" in text
    for block in text.split("\n\n"):
        bars = [line.count("|") - line.count("\\|") for line in block.splitlines() if line.startswith("|")]
        assert len(set(bars)) <= 1
    tex = (written / "report.tex").read_text()
    # one table of one row for each method, as a paper has it
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == tex.count(r"\begin{table}") == 1
    assert f"& {100 * value:.2f} " in next(line for line in tex.splitlines() if line.startswith("a$<$b$>$ &"))
    assert any(line.startswith("whole video &") for line in tex.splitlines())
    for line in tex.splitlines()[1:]:
        assert line.count("{") - line.count(r"\{") == line.count("}") - line.count(r"\}"), line
        assert "%" not in line.replace(r"\%", "") and "_" not in line.replace(r"\_", "").replace("tabular", ""), line


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_alone(written, scheme):
    with browser() as running:
        page, seen = visit(running, written / "report.html", scheme=scheme)
        assert seen.errors == [] and len(seen.requests) == 1
        assert page.locator("figure svg").count() == 3
        assert page.locator("h1").inner_text() == "Charades-STA"
        report = json.loads((written / "report.json").read_text())
        assert f"{100 * report['summary']['mIoU']:.2f} %" in page.locator(".headline").inner_text()
        assert "a<b>.jsonl" in page.locator("header").inner_text()
        # bars have the page's colour, which is another in the dark, and are seen on it
        bar = page.locator("#plot0-patch_3 path").evaluate("e => getComputedStyle(e).fill")
        ground = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        assert bar == {"light": "rgb(31, 102, 181)", "dark": "rgb(125, 184, 255)"}[scheme]
        assert ground == {"light": "rgb(245, 245, 243)", "dark": "rgb(19, 20, 22)"}[scheme]
        # nothing is wider than a phone but tables, which scroll by themselves
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_same_files_give_the_same_bytes(cli, charades, written, tmp_path):
    answers = next(written.parent.glob("*.jsonl"))
    cli("eval", "--benchmark", "charades-sta", "--annotations", charades, "--predictions", answers,
        "--out", tmp_path, "--export", "json,html,csv")  # fmt: skip
    for name in ("report.json", "report.html", "report.csv"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_without_matplotlib_the_page_is_left_out_or_refused(charades, tmp_path):
    answers = write(tmp_path / "answers.jsonl", truths(charades))
    call = ["eval", "--benchmark", "charades-sta", "--annotations", str(charades), "--predictions", str(answers)]
    code = "import sys; sys.modules['matplotlib'] = None\nimport whenwhere.cli; whenwhere.cli.main()"

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *call, *more], capture_output=True, text=True)

    done = run("--out", str(tmp_path / "out"))
    assert done.returncode == 0 and "whenwhere[report]" in done.stderr
    assert "report.json" in {p.name for p in (tmp_path / "out").iterdir()}
    refused = run("--out", str(tmp_path / "x"), "--export", "html")
    assert refused.returncode == 1 and "pip install 'whenwhere[report]'" in refused.stderr
    assert not (tmp_path / "x" / "report.html").exists()


# -- matrices and short answers ----------------------------------------------------------------------------------------


def test_retrieval_from_a_matrix(cli, tmp_path):
    similarity = np.eye(8) + np.random.default_rng(0).normal(0, 0.01, (8, 8))
    similarity[0] = [0.1, 0.9, *[0] * 6]  # the right one comes second
    np.savez(tmp_path / "sims.npz", similarity=similarity)
    np.save(tmp_path / "sims.npy", similarity)
    for name in ("sims.npz", "sims.npy"):
        done = cli("eval", "--benchmark", "retrieval", "--predictions", tmp_path / name, "--json")
        found = json.loads(done.stdout)
        assert found["summary"]["t2v-R@1"] == 7 / 8 and found["summary"]["t2v-R@5"] == 1
        assert found["summary"]["t2v-MnR"] == 9 / 8
        assert row(found, "chance")["summary"]["t2v-R@5"] == 5 / 8
    np.savez(tmp_path / "two.npz", similarity=np.repeat(np.eye(4), 2, 0), video_of=np.repeat(np.arange(4), 2))
    for protocol in ("retrieval", "retrieval-grouped", "retrieval-dual-softmax"):
        call = ("eval", "--benchmark", "retrieval", "--predictions", tmp_path / "two.npz", "--protocol", protocol)
        assert json.loads(cli(*call, "--json").stdout)["summary"]["v2t-R@1"] == 1
    np.savez(tmp_path / "bad.npz", similarity=np.eye(4)[:, :3])
    assert "bad.npz" in cli("eval", "--benchmark", "retrieval", "--predictions", tmp_path / "bad.npz", status=1).stderr
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("text.npz", "nowhere.npz"):
        said = cli("eval", "--benchmark", "retrieval", "--predictions", tmp_path / name, status=1).stderr
        assert name in said and len(said.splitlines()) == 1


def test_recognition_from_scores(cli, tmp_path):
    scores = np.eye(6)[[0, 1, 2, 0]] + np.linspace(0, 0.1, 6)
    np.savez(tmp_path / "scores.npz", scores=scores, labels=np.array([0, 1, 2, 2]))
    found = json.loads(
        cli("eval", "--benchmark", "recognition", "--predictions", tmp_path / "scores.npz", "--json").stdout
    )
    assert found["summary"] == {
        "top-1": 0.75,
        "top-5": 1.0,
        "mean-top-1-5": 0.875,
        "mean-class-accuracy": pytest.approx(2.5 / 3),
    }
    assert row(found, "most frequent class")["summary"]["top-1"] == 0.5
    np.savez(tmp_path / "scores.npz", scores=scores, labels=np.array([0, 1, 2, 9]))
    call = ("eval", "--benchmark", "recognition", "--predictions", tmp_path / "scores.npz")
    assert "outside 0 to 5" in cli(*call, status=1).stderr


def test_vqa_from_lines(cli, tmp_path):
    truth, answers = tmp_path / "truth.jsonl", tmp_path / "answers.jsonl"
    truth.write_text("".join(json.dumps({"id": k, "answers": ["red"] * 4 + ["blue"] * 6}) + "\n" for k in "abc"))
    answers.write_text('{"id": "a", "answer": "Red."}\n{"id": "z", "answer": "x"}\n{"id": "b", "ans')
    call = ("eval", "--benchmark", "vqa", "--annotations", truth, "--predictions", answers, "--json")
    found = json.loads(cli(*call).stdout)
    assert found["summary"] == {"VQA-accuracy": 1 / 3, "exact-match": 1 / 3}
    assert {f["kind"] for f in found["faults"]} == {"unknown id", "torn line", "missing"}
    assert row(found, "most frequent answer")["summary"]["exact-match"] == 1
    cli(*call, "--strict", status=1)
    assert "--annotations" in cli("eval", "--benchmark", "vqa", "--predictions", answers, status=2).stderr


# -- lists ------------------------------------------------------------------------------------------------------------


def test_the_list_names_everything_with_switches_and_standing(cli):
    from whenwhere.datasets import BENCHMARKS
    from whenwhere.evaluate.formats import FORMATS
    from whenwhere.evaluate.protocols import PROTOCOLS

    rows = [json.loads(line) for line in cli("eval", "--list", "--json").stdout.splitlines()]
    assert {r["benchmark"] for r in rows if "benchmark" in r} == set(BENCHMARKS)
    assert {r["--format"] for r in rows if "--format" in r} == set(FORMATS)
    listed = {r["protocol"]: r for r in rows if "standing" in r}
    assert set(listed) == set(PROTOCOLS)
    assert listed["time-r1"]["hit"] == "IoU > m" and listed["charades-sta"]["hit"] == "IoU >= m"
    assert listed["time-r1"]["standing"] == "equal to the original"
    shown = cli("eval", "--list").stdout
    assert all(name in shown for name in (*BENCHMARKS, *PROTOCOLS, *FORMATS))


def test_every_benchmark_names_a_protocol_that_can_score_it():
    from whenwhere.datasets import BENCHMARKS
    from whenwhere.evaluate.names import find_protocol

    assert [find_protocol(None, b).name for b in BENCHMARKS.values()] == [b.protocol for b in BENCHMARKS.values()]
