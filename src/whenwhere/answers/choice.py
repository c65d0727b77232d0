r"""The letter of a chosen option: `\boxed{A}`, `(B)`, "C. the dog", "Correct Option: D", "the answer is A".

A letter counts only where it is marked as a choice. In a sentence that merely begins with the word "A" it does not.
"""

import re

_BOXED = re.compile(r"\\boxed\s?\{\s?(?:\\text\s?\{)?\s?\(?([A-Ha-h])\)?\.?\s?\}?\s?\}")
_WHOLE = re.compile(r"\W*\(?([A-H])\)?(?:[.):]\W*|\W*)")
_LEADING = re.compile(r"\W*(?:\(([A-H])\)|([A-H])[.):])\s+\S")
_SAID = re.compile(
    r"\b(?:correct option|option|correct answer|final answer|answer|choice)\b"
    r"(?:\s?(?:is|would be|should be))?\s?[:：]?\s{0,3}"
    r"(?:option\s)?[\"'*(\[]{0,3}([A-H])(?![\w'])(?!\s[a-z])",
    re.IGNORECASE,
)

_TAGS = re.compile(r"</?[A-Za-z]\w{0,11}>")


def chosen_letter(answer: str, rest: str) -> str | None:
    r"""The chosen letter, taken from the answer's container if it has one, else from the text around it.

    >>> chosen_letter("A man opens the door", ""), chosen_letter("(B)", ""), chosen_letter("", "so \\boxed{c}")
    (None, 'B', 'C')
    >>> chosen_letter("D. a dog", "")
    'D'
    """
    boxed = _BOXED.findall(answer) or _BOXED.findall(rest)
    if boxed:
        return str(boxed[-1]).upper()
    answer = _TAGS.sub(" ", answer).strip()
    whole = _WHOLE.fullmatch(answer[:40]) if len(answer) <= 40 else None
    if whole:
        return whole[1]
    leading = _LEADING.match(answer[:60])
    if leading:
        return leading[1] or leading[2]
    said = [m for m in _SAID.findall(answer[-4000:]) if m.isupper()]
    return said[-1] if said else None
