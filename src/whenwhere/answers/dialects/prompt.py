"""Prompts as templates: names in braces are replaced, and nothing else happens.

Prompts also come from recipes and from folders of checkpoints. `str.format` would obey what it finds there:
`{query:>3000000000}` asks for gigabytes, and `{query.attribute}` looks into objects.
"""

import re

from whenwhere.errors import SettingError
from whenwhere.readers import quoted

_BRACES = re.compile(r"\{\{|\}\}|\{[a-z]+\}|[{}]")


def fill_prompt(template: str, **fields: str) -> str:
    """The template with {name} replaced by each field; doubled braces become single ones.

    >>> fill_prompt('When? {query} Answer as {{"start": 1.0}}.', query="{query} a dog")
    'When? {query} a dog Answer as {"start": 1.0}.'
    """

    def replaced(found: re.Match[str]) -> str:
        text = found[0]
        return text[0] if text in ("{{", "}}") else fields.get(text[1:-1], text)

    return _BRACES.sub(replaced, template)


def check_prompt(template: str) -> None:
    """Refuse a prompt that does not say where the sentence goes, or that has other braces.

    Raises:
        SettingError: {query} is missing, or there are single braces that are neither {query} nor {duration}.

    >>> check_prompt("When does {query:>9} happen?")
    Traceback (most recent call last):
    ...
    whenwhere.errors.SettingError: the prompt has no {query}: say where the sentence goes
    """
    found = _BRACES.findall(template)
    if "{query}" not in found:
        raise SettingError("the prompt has no {query}: say where the sentence goes")
    other = [text for text in found if text not in ("{query}", "{duration}", "{{", "}}")]
    if other:
        raise SettingError(
            f"the prompt has braces that are neither {{query}} nor {{duration}} ({quoted(other[0])}): double them, as "
            "in {{start}}"
        )
