r"""Papers as text: Markdown, plain text, a LaTeX file or folder, or PDF.

A language model reads what `read_paper` gives. Markup is left as it is, since models read Markdown and LaTeX; what is
taken away is what says nothing about the method: LaTeX comments, the preamble, and everything after the end of the
document. `\input` and `\include` are followed inside the paper's own folder and nowhere else.

Whatever is missing from the text is named in `Paper.notes`: a file that is not there, bytes that are not UTF-8, pages
of a PDF without text. A paper without any text is an error.

Left out: figures, and the recognition of scanned pages.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from whenwhere.errors import MissingExtraError, RecordError
from whenwhere.readers import visible

#: Largest file of a paper, in bytes; a larger one is not a paper's text.
LARGEST = 64 << 20
#: Most characters of a paper's text, over all of its files.
LONGEST = 4_000_000
#: How deep `\input` may be nested.
DEEPEST = 20
#: Endings of the files that are read in a folder without LaTeX.
TEXTS = (".md", ".markdown", ".txt", ".text")

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_COMMENT_BLOCK = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}", re.S)
_INPUT = re.compile(r"\\(?:input|include|subfile)\s*\{([^{}]+)\}")
_BODY = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.S)
_ABSTRACT = re.compile(r"\\begin\{abstract\}(.*?)\\end\{abstract\}|\\abstract\{(.*?)\}\s*\n", re.S)
_ABSTRACT_HEADING = re.compile(r"^(?:#{1,6}\s*)?\**abstract\**\s*[:.—-]*\**\s*$", re.I | re.M)
_HEADING = re.compile(
    r"^(?:#{1,6}\s+\S|\*\*[^*\n]+\*\*\s*$|(?:\d+\.?\s+)?(?:introduction|keywords|index terms)\b)", re.I | re.M
)
_REFERENCES = re.compile(
    r"^(?:#{1,6}\s*)?\**(?:\d+\.?\s*)?(?:references|bibliography)\**\s*$|\\begin\{thebibliography\}", re.I | re.M
)
_AFTER_REFERENCES = re.compile(
    r"^(?:#{1,6}\s+\S|\**(?:appendix|appendices|supplementary)\b)|\\end\{thebibliography\}|\\appendix\b", re.I | re.M
)


@dataclass(frozen=True)
class Paper:
    """A paper as text.

    Attributes:
        name: The file or folder, without its ending.
        title: The title as far as it could be found; may be empty.
        abstract: The abstract as far as it could be found; may be empty.
        text: The whole text, with the title and the abstract.
        notes: Sentences on what is missing from the text.
    """

    name: str
    title: str
    abstract: str
    text: str
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Hash of the text, which identifies the paper in a plan."""
        return hashlib.blake2b(self.text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def read_paper(path: str | os.PathLike[str]) -> Paper:
    """Read a paper as text.

    Args:
        path: A Markdown, text, LaTeX or PDF file, or the folder of a LaTeX source or of text files.

    Raises:
        RecordError: There is no such file, it is of another kind, it is damaged, or it holds no text.
        MissingExtraError: The file is a PDF and pypdf is not installed.
    """
    source = Path(path)
    shown = visible(os.fspath(path))
    if not source.exists():
        raise RecordError(f"there is no paper {shown}: name a Markdown, text, LaTeX or PDF file, or a folder of them")
    ending = source.suffix.lower()
    notes: list[str] = []
    if source.is_dir():
        text = _folder_text(source, notes)
    elif ending == ".pdf":
        text = _pdf_text(source, notes)
    elif ending == ".tex":
        text = _latex_text(source, source.parent, notes)
    elif ending in TEXTS:
        text = _file_text(source, notes)
    else:
        raise RecordError(
            f"{shown} is not a paper that can be read: give Markdown (.md), text (.txt), LaTeX (.tex) or PDF, or a "
            "folder of them"
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()
    if len(text) > LONGEST:
        notes.append(f"only the first {LONGEST:,} characters of {len(text):,} were read")
        text = text[:LONGEST]
    if not any(c.isalnum() for c in text):
        raise RecordError(f"{shown} holds no text: a scanned paper has to be recognised first (OCR)")
    name = source.stem if source.is_file() else source.resolve().name
    return Paper(name, *_head(text), text, tuple(dict.fromkeys(notes)))


def fit_paper(text: str, tokens: int, count: Callable[[str], int]) -> tuple[str, str | None]:
    r"""The part of a paper's text that fits into a number of tokens, and a sentence on what was left out.

    A text that does not fit first loses its list of references, and then its end, where possible after a whole
    paragraph. The sentence is None if nothing was left out.

    Args:
        text: The text.
        tokens: The number of tokens that it may have.
        count: Counts the tokens of a text.

    Raises:
        RecordError: Not even one tenth of the text fits.

    >>> fit_paper("Method.\n\n# References\n\n[1] A paper.", 3, lambda text: len(text) // 4)
    ('Method.', 'the paper has 8 tokens and 3 fit: its list of references was left out')
    """
    whole = count(text)
    if whole <= tokens:
        return text, None
    said = f"the paper has {whole:,} tokens and {max(tokens, 0):,} fit"
    if (found := _REFERENCES.search(text)) is not None:
        after = _AFTER_REFERENCES.search(text, found.end())
        text = text[: found.start()].rstrip() + ("\n\n" + text[after.start() :] if after else "")
        if count(text) <= tokens:
            return text, f"{said}: its list of references was left out"
    low, high = 0, len(text)
    while high - low > 64:
        middle = (low + high) // 2
        low, high = (middle, high) if count(text[:middle]) <= tokens else (low, middle)
    if low < len(text) // 10 or not low:
        raise RecordError(f"{said}: give the model more context (--context), a shorter answer, or less of the paper")
    end = text.rfind("\n\n", low * 9 // 10, low)
    kept = text[: end if end > 0 else low].rstrip()
    return kept, f"{said}: its last {100 * (1 - count(kept) / whole):.0f} % were left out, with any references"


def _file_text(path: Path, notes: list[str]) -> str:
    """The text of one file; text that is not UTF-8 is read as Western European, and a note says so."""
    shown = visible(os.fspath(path))
    try:
        if not path.is_file():
            raise RecordError(f"{shown} is not a regular file: name the paper's file")
        if path.stat().st_size > LARGEST:
            raise RecordError(f"{shown} is larger than {LARGEST >> 20} MiB: that is not a paper's text")
        data = path.read_bytes()
    except (OSError, ValueError) as e:
        raise RecordError(f"cannot read {shown}: {getattr(e, 'strerror', None) or e}; name a paper's file") from e
    if data.startswith(b"version https://git-lfs.github.com/spec"):
        raise RecordError(f"{shown} is a Git LFS pointer and not the paper: run `git lfs pull` where it was cloned")
    if data[:5] == b"%PDF-":
        raise RecordError(f"{shown} is a PDF under another ending: rename it to .pdf")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:4096]:
        raise RecordError(f"{shown} is not text: give Markdown, text, LaTeX or PDF")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append(f"{visible(path.name)} is not UTF-8 and was read as Western European text (cp1252)")
        return data.decode("cp1252", "replace")


def _folder_text(folder: Path, notes: list[str]) -> str:
    """The text of a folder: its LaTeX document, or else all its text files in the order of their names."""
    shown = visible(os.fspath(folder))
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    documents = [p for p in files if p.suffix.lower() == ".tex" and _is_document(p)]
    if documents:
        main = max(documents, key=lambda p: (p.stem.lower() in ("main", "paper"), len(_latex_text(p, folder, []))))
        if len(documents) > 1:
            others = ", ".join(visible(p.name) for p in documents if p != main)
            notes.append(f"{visible(main.name)} was read and not {others}: name the file itself to read another one")
        return _latex_text(main, folder, notes)
    readable = [p for p in files if p.suffix.lower() in (*TEXTS, ".tex")]
    if not readable:
        pdfs = [p for p in files if p.suffix.lower() == ".pdf"]
        if len(pdfs) == 1:
            return _pdf_text(pdfs[0], notes)
        raise RecordError(f"the folder {shown} holds no paper: no LaTeX, Markdown or text file, and not one PDF")
    parts = []
    for path in readable:
        text = _without_comments(_file_text(path, notes)) if path.suffix.lower() == ".tex" else _file_text(path, notes)
        parts.append(text if len(readable) == 1 else f"[file {path.relative_to(folder)}]\n{text}")
    return "\n\n".join(parts)


def _is_document(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            return b"\\documentclass" in f.read(1 << 20)
    except OSError:
        return False


def _latex_text(main: Path, folder: Path, notes: list[str]) -> str:
    """The body of a LaTeX document with its title, its parts in their places, and no comments."""
    source = _with_inputs(main, folder, notes, (), [])
    found = _BODY.search(source)
    if found is None:
        return source
    title = _braced(source, r"\title")
    body = found.group(1).strip()
    return f"\\title{{{title}}}\n\n{body}" if title and "\\title" not in body else body


def _with_inputs(path: Path, folder: Path, notes: list[str], above: tuple[Path, ...], size: list[int]) -> str:
    """The text of a LaTeX file with those that it includes; `size` collects the sizes of the files read so far."""
    source = _without_comments(_file_text(path, notes))
    size.append(max(len(source), 10_000))  # so that the number of inclusions is limited too

    def part(found: re.Match[str]) -> str:
        name = found.group(1).strip()
        inner = folder / name
        if not inner.is_file():
            inner = folder / f"{name}.tex"
        if not inner.is_file():
            inner = path.parent / (name if name.endswith(".tex") else f"{name}.tex")
        here = inner.resolve()
        if not here.is_relative_to(folder.resolve()):
            notes.append(f"{visible(name)} lies outside of the paper's folder and was not read")
        elif not inner.is_file():
            notes.append(f"{visible(name)} is included but does not exist")
        elif sum(size) > LONGEST:
            notes.append(f"{visible(name)} was not read: the paper has more than {LONGEST:,} characters by then")
        elif here in above or here == path.resolve() or len(above) >= DEEPEST:
            notes.append(f"{visible(name)} includes itself and was read once")
        else:
            return _with_inputs(inner, folder, notes, (*above, path.resolve()), size)
        return ""

    return _INPUT.sub(part, source)


def _without_comments(source: str) -> str:
    return _COMMENT_BLOCK.sub("", _COMMENT.sub(r"\1", source))


def _pdf_text(path: Path, notes: list[str]) -> str:
    """The text of a PDF, page after page."""
    shown = visible(os.fspath(path))
    try:
        import pypdf
    except ImportError as e:
        raise MissingExtraError("pypdf", "ablate", "reading a PDF") from e
    try:
        if path.stat().st_size > LARGEST:
            raise RecordError(f"{shown} is larger than {LARGEST >> 20} MiB: give the paper's source or its text")
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise RecordError(f"{shown} asks for a password: save it without one")
        pages: list[str] = []
        for page in reader.pages:
            pages.append(page.extract_text().strip())
            if sum(map(len, pages)) > LONGEST:
                break
    except RecordError:
        raise
    except Exception as e:
        # pypdf raises dozens of kinds of errors on damaged files.
        said = " ".join(str(e).split())[:120] or type(e).__name__
        raise RecordError(f"{shown} cannot be read as PDF: {said}; give the paper's source or its text") from e
    blank = [k for k, text in enumerate(pages, 1) if not text]
    if blank and len(blank) < len(pages):
        notes.append(f"{len(blank)} of {len(pages)} pages of the PDF hold no text")
    return "\n\n".join(text for text in pages if text)


def _braced(source: str, command: str) -> str:
    r"""What a LaTeX command holds between its braces, in one line.

    >>> _braced(r"\\title[short]{A {B}ig title}", r"\\title")
    'A {B}ig title'
    """
    found = re.search(re.escape(command) + r"\s*(?:\[[^\]]*\])?\s*\{", source)
    if found is None:
        return ""
    depth, start = 1, found.end()
    for k in range(start, min(len(source), start + 2000)):
        depth += {"{": 1, "}": -1}.get(source[k], 0)
        if not depth:
            return " ".join(source[start:k].split())
    return ""


def _head(text: str) -> tuple[str, str]:
    """Title and abstract of a text, as far as they can be found."""
    title = _braced(text, "\\title")
    if not title:
        first = next((line.strip() for line in text.splitlines() if any(c.isalnum() for c in line)), "")
        title = first.strip("#* ").strip()
    latex = _ABSTRACT.search(text)
    if latex is not None:
        return title[:300], (latex.group(1) or latex.group(2) or "").strip()
    found = _ABSTRACT_HEADING.search(text)
    if found is None:
        return title[:300], ""
    after = _HEADING.search(text, found.end())
    return title[:300], text[found.end() : after.start() if after else len(text)].strip()[:6000]
