"""Papers as text: every form, what is missing from it, and files that are none."""

import io
import os
from pathlib import Path

import pytest

from whenwhere.ablate.paper import LARGEST, fit_paper, read_paper
from whenwhere.errors import RecordError

MARKDOWN = """\
# Grouping *tokens*

A. Author

## Abstract

We group tokens.

## 1 Introduction

Videos are long.

## References

[1] Smith. Videos.

## A Appendix

More tables.
"""


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )  # fmt: skip
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        lines = " ".join(f"({line}) Tj 0 -14 Td" for line in text.splitlines())
        stream.set_data(f"BT /F1 12 Tf 20 250 Td {lines} ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_markdown(tmp_path: Path) -> None:
    path = tmp_path / "groups.md"
    path.write_text(MARKDOWN)
    paper = read_paper(path)
    assert (paper.name, paper.title, paper.abstract) == ("groups", "Grouping *tokens", "We group tokens.")
    assert paper.text == MARKDOWN.strip() and not paper.notes


def test_text_in_other_encodings(tmp_path: Path) -> None:
    for data, notes in (
        ("Über Gruppen\n\nAbstract\nKurz.\n\n1 Introduction\nLang.".encode("cp1252"), 1),
        ("Über Gruppen\r\n\r\nAbstract\r\nKurz.\r\n\r\nKeywords: a".encode("utf-8-sig"), 0),
        ("Über Gruppen\n\nABSTRACT\nKurz.\n\nIntroduction\nLang.".encode("utf-16"), 0),
    ):
        path = tmp_path / "paper.txt"
        path.write_bytes(data)
        paper = read_paper(path)
        assert (paper.title, paper.abstract, len(paper.notes)) == ("Über Gruppen", "Kurz.", notes)


def test_a_latex_folder_is_read_as_its_document(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "sections").mkdir(parents=True)
    (folder / "main.tex").write_text(
        "\\documentclass{article} % a class\n\\title{Grouping {T}okens}\n\\begin{document}\n"
        "\\begin{abstract}We group 50\\% of them. % secret\n\\end{abstract}\n"
        "\\input{sections/method}\n\\include{missing}\n\\input{../outside}\n"
        "\\begin{comment}\nNot this.\n\\end{comment}\n\\end{document}\nAfter the end.\n"
    )
    (folder / "sections/method.tex").write_text("Method. \\input{sections/method}\\input{detail}\n")
    (folder / "sections/detail.tex").write_text("Detail.\n")
    (folder / "reply.tex").write_text("\\documentclass{letter}\\begin{document}Dear reviewers\\end{document}")
    (tmp_path / "outside.tex").write_text("Private.")
    paper = read_paper(folder)
    assert paper.title == "Grouping {T}okens" and paper.abstract == "We group 50\\% of them."
    assert "Method." in paper.text and "Detail." in paper.text
    for absent in ("secret", "Not this", "After the end", "Private", "documentclass", "Dear"):
        assert absent not in paper.text
    said = " ".join(paper.notes)
    for words in ("missing is included but does not exist", "../outside lies outside", "method includes itself",
                  "main.tex was read and not reply.tex"):  # fmt: skip
        assert words in said
    assert read_paper(folder / "main.tex").text == paper.text


def test_files_that_include_each_other_many_times_end(tmp_path: Path) -> None:
    (tmp_path / "main.tex").write_text("\\documentclass{a}\\begin{document}\\input{p0}\\end{document}")
    for k in range(19):
        (tmp_path / f"p{k}.tex").write_text(f"Part {k}. " + f"\\input{{p{k + 1}}}" * 9)
    (tmp_path / "p19.tex").write_text("End.")
    paper = read_paper(tmp_path)
    assert "Part 0." in paper.text and any("was not read" in note for note in paper.notes)


def test_hidden_files_are_passed_over_and_a_hidden_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".papers"
    (folder / ".git" / "objects" / "aa").mkdir(parents=True)
    (folder / ".git" / "objects" / "aa" / "old.md").write_text("# Old")
    (folder / "a.md").write_text("# New")
    assert read_paper(folder).text == "# New"


def test_a_folder_of_texts_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    """Defect 4 of AblationBench: .txt files were skipped, and the order was that of the file system."""
    (tmp_path / "b.txt").write_text("Second.")
    (tmp_path / "a.md").write_text("# First")
    (tmp_path / "figure.jpeg").write_bytes(b"\xff\xd8")
    text = read_paper(tmp_path).text
    assert text == "[file a.md]\n# First\n\n[file b.txt]\nSecond."


def test_pdf(tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(pdf("Grouping tokens\nAbstract\nWe group.\n1 Introduction\nLong.", "", "The end."))
    paper = read_paper(path)
    assert paper.title == "Grouping tokens" and paper.abstract == "We group."
    assert paper.text.endswith("The end.") and paper.notes == ("1 of 3 pages of the PDF hold no text",)
    assert read_paper(tmp_path).text == paper.text


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("paper.md", b"", "holds no text"),
        ("paper.md", b" \n# \n***\n", "holds no text"),
        ("paper.md", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("paper.md", b"\x89PNG\r\n\x1a\n\0\0\0", "is not text"),
        ("paper.txt", b"%PDF-1.7 ...", "rename it to .pdf"),
        ("paper.docx", b"PK", "is not a paper that can be read"),
        ("paper", b"text", "is not a paper that can be read"),
        ("paper.pdf", b"", "cannot be read as PDF"),
        ("paper.pdf", b"%PDF-1.7\nbroken", "cannot be read as PDF"),
        ("paper.pdf", pdf("")[:400], "cannot be read as PDF"),
        ("paper.pdf", pdf("", ""), "holds no text"),
        ("paper.tex", b"\\documentclass{a}\\begin{document}\\end{document}", "holds no text"),
    ],
)
def test_what_is_no_paper_is_an_error(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(RecordError, match=said):
        read_paper(path)


def test_further_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no paper"):
        read_paper(tmp_path / "absent.md")
    with pytest.raises(RecordError, match="holds no paper"):
        read_paper(tmp_path)
    os.mkfifo(tmp_path / "pipe.md")
    with pytest.raises(RecordError, match="not a regular file"):
        read_paper(tmp_path / "pipe.md")
    with open(tmp_path / "big.md", "wb") as f:
        f.truncate(LARGEST + 1)
    with pytest.raises(RecordError, match="larger than 64 MiB"):
        read_paper(tmp_path / "big.md")


def test_an_encrypted_pdf_is_an_error(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("Secret"))))
    writer.encrypt("word", algorithm="RC4-128")
    writer.write(tmp_path / "paper.pdf")
    with pytest.raises(RecordError, match="asks for a password"):
        read_paper(tmp_path / "paper.pdf")


def test_references_go_first_and_an_appendix_stays() -> None:
    text, said = fit_paper(MARKDOWN, 36, lambda part: len(part) // 4)
    assert "Smith" not in text and text.endswith("More tables.\n") and "references" in (said or "")
    whole, nothing = fit_paper(MARKDOWN, 1000, lambda part: len(part) // 4)
    assert whole == MARKDOWN and nothing is None


@pytest.mark.parametrize("tokens", [100, 333, 1000, 2400])
def test_a_cut_paper_fits_and_says_how_much_was_left_out(tokens: int) -> None:
    text = "\n\n".join(f"Paragraph {k} about groups." for k in range(400))
    if tokens * 4 < len(text) // 10:
        with pytest.raises(RecordError, match=f"and {tokens} fit: give the model more context"):
            fit_paper(text, tokens, lambda part: len(part) // 4)
        return
    kept, said = fit_paper(text, tokens, lambda part: len(part) // 4)
    assert tokens * 0.8 < len(kept) / 4 <= tokens + 1 and text.startswith(kept) and kept.endswith("groups.")
    assert said is not None and f"{100 * (1 - len(kept) / len(text)):.0f} %" in said
