"""json, csv, srt and vtt, each read back by the libraries that people read them with."""

import csv
import html
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from whenwhere import Answer, Grounding
from whenwhere.cli.options import read_exports
from whenwhere.export import EXPORTERS, Exporter, format_of
from whenwhere.export.words import single_line
from whenwhere.records import BoxRecord, SpanRecord, TubeRecord
from whenwhere.video import probe

sys.path.insert(0, str(Path(__file__).parent))
import answers
import clips

SILENT = ("absent", "unsure", "failed")
sentences = st.text(st.characters(codec="utf-8"), max_size=80)
times = st.integers(0, 4_000_000).map(lambda ms: ms / 1000)


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return probe(clips.make("ntsc", tmp_path_factory.mktemp("clips")).path)


def spanned(query: str, start: float, length: float) -> Grounding:
    span = SpanRecord(start=start, end=round(start + length, 3), score=0.5)
    return Grounding(id="x", query=query, status="answered", spans=[span])


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_format_has_an_ending_and_writes_where_it_is_told(info, tmp_path):
    assert len({exporter.ending for exporter in EXPORTERS.values()}) == len(EXPORTERS)
    for name, exporter in EXPORTERS.items():
        path = tmp_path / f"x{exporter.ending}"
        assert exporter.name == name
        assert exporter.write(answers.answered(info, [(0.5, 1.5)]), info, path) == [path]
        assert path.stat().st_size


def test_an_exporter_is_added_by_one_line(info, tmp_path, monkeypatch):
    """The step that CONTRIBUTING names: one file with an `EXPORTER`, listed in `EXPORTERS`; nothing else is touched."""

    def write(record, info, path):
        path.write_text("".join(f"- {s.start:g} to {s.end:g} s: {record.query}\n" for s in record.spans))
        return [path]

    monkeypatch.setitem(EXPORTERS, "md", Exporter("md", ".notes.md", write))
    assert format_of("dog.notes.md") == "md"
    assert read_exports("md, srt", tmp_path, ()) == ("md", "srt")
    answer = Answer(answers.answered(info, [(0.5, 1.5)]), SimpleNamespace(info=info))
    assert answer.save(tmp_path / "dog.notes.md") == [tmp_path / "dog.notes.md"]
    assert (tmp_path / "dog.notes.md").read_text().startswith("- 0.5 to 1.5 s: ")


@pytest.mark.parametrize("status", SILENT)
def test_an_answer_without_spans_gives_valid_files_or_none(info, tmp_path, status):
    record = answers.silent(info, status)
    made = {e.name: e.write(record, info, tmp_path / f"x{e.ending}") for e in EXPORTERS.values()}
    assert made["mp4"] == made["clip"] == []
    assert all(len(files) == 1 for name, files in made.items() if name not in ("mp4", "clip"))
    assert made["srt"][0].read_bytes() == made["mot"][0].read_bytes() == b""
    assert len(pysubs2.load(str(made["srt"][0]), format_="srt")) == 0
    assert webvtt.read(made["vtt"][0]).captions == []
    assert f"NOTE {status}: a zebra" in made["vtt"][0].read_text()
    assert [(r["status"], r["span"], r["t"]) for r in rows(made["csv"][0].read_text())] == [(status, "", "")]
    assert json.loads(made["coco"][0].read_text())["annotations"] == []


def test_json_is_the_record_with_a_line_per_field(info, tmp_path):
    record = answers.answered(info, [(0.5, 1.5)], answers.HOSTILE, fill="flow")
    (file,) = EXPORTERS["json"].write(record, info, tmp_path / "x.json")
    text = file.read_text()
    assert Grounding.from_json(text) == record
    assert len(text.splitlines()) == len(json.loads(text)) + 2


@given(sentences, times, st.integers(1, 10_000_000))
def test_vtt_is_read_back(query, start, ms):
    record = spanned(query, start, ms / 1000)
    from whenwhere.export import vtt

    (cue,) = webvtt.from_string(vtt.render(record)).captions
    assert (cue.start_in_seconds, cue.end_in_seconds) == (int(start), int(record.spans[0].end))
    assert cue.start[-3:] == f"{round(start * 1000) % 1000:03}"
    lines = [html.unescape(line) for line in cue.lines]
    assert [line for line in lines if line] == [line for line in (single_line(query), "score 0.5") if line]


@given(sentences, times, st.integers(1, 10_000_000))
def test_srt_is_read_back(query, start, ms):
    record = spanned(query.replace("\\", ""), start, ms / 1000)
    from whenwhere.export import srt

    (cue,) = pysubs2.SSAFile.from_string(srt.render(record), format_="srt")
    assert (cue.start, cue.end) == (round(start * 1000), round(record.spans[0].end * 1000))
    shown = single_line(record.query).replace("-->", "→").translate(str.maketrans("<>{}", "‹›()"))
    assert cue.plaintext.split("\n") == [line for line in (shown, "score 0.5") if line]


def test_a_hostile_sentence_stays_one_cue(info):
    from whenwhere.export import srt, vtt

    record = answers.answered(info, [(0.2, 0.8), (1.0, 1.9)], answers.HOSTILE)
    assert len(webvtt.from_string(vtt.render(record)).captions) == 2
    with av.open(io.BytesIO(srt.render(record).encode()), format="srt") as container:
        cues = [(p.pts, p.pts + p.duration, bytes(p).decode()) for p in container.demux() if p.size]
    assert [(a, b) for a, b, _ in cues] == [(200, 800), (1000, 1900)]
    assert all("🦓 犬\nscore 0.875" in text for *_, text in cues)
    # pysubs2 takes any line with two time stamps for a cue's head, arrow or not.
    record.query = answers.HOSTILE.replace("00:00:02,000", "")
    read = pysubs2.SSAFile.from_string(srt.render(record), format_="srt")
    assert [(c.start, c.end) for c in read] == [(200, 800), (1000, 1900)]
    assert all("🦓 犬" in c.plaintext for c in read)


def test_csv_has_a_row_per_box_and_forgets_no_span(info):
    from whenwhere.export import csv as table

    record = answers.answered(info, [(0.0, 1.3), (1.5, 1.9)], answers.HOSTILE, label="dog, red")
    read = rows(table.render(record))
    assert len(read) == len(record.tubes[0].boxes)
    assert {r["query"] for r in read} == {answers.HOSTILE}
    assert [float(r["t"]) for r in read] == [b.t for b in record.tubes[0].boxes]
    for r, b in zip(read, record.tubes[0].boxes, strict=True):
        assert tuple(float(r[k]) for k in ("x1", "y1", "x2", "y2")) == pytest.approx(b.box, abs=1e-9)
        assert float(r["span_start"]) <= b.t < float(r["span_end"])
    bare = rows(table.render(answers.answered(info, [(0.0, 1.3), (1.5, 1.9)], boxes=False)))
    assert [(r["span"], r["span_start"], r["t"]) for r in bare] == [("1", "0", ""), ("2", "1.5", "")]


def test_csv_of_spans_that_touch_keeps_each_box_in_its_own(info):
    # As sets of time [0, 1) and [1, 2) are one span; as rows they stay two.
    from whenwhere.export import csv as table

    boxes = [BoxRecord(t=t, box=(1, 1, 9, 9)) for t in (0.0, 1.0, 1.9)]
    spans = [SpanRecord(start=0, end=1), SpanRecord(start=1, end=2)]
    record = Grounding(id="x", query="x", status="answered", spans=spans, tubes=[TubeRecord(boxes=boxes)])
    assert [(r["span"], r["t"]) for r in rows(table.render(record))] == [("1", "0"), ("2", "1"), ("2", "1.9")]
