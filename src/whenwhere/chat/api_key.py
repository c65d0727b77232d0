"""The API key of a server: read from the environment, put into one header, shown nowhere.

No object that could be printed, logged or stored holds the key as a readable attribute. Servers repeat keys in their
error messages and answers, so the key is removed from every text that comes back: as it is and in the forms in which
headers are repeated, which are base64 (alone or as a part, as in `user:key`), hexadecimal digits, escapes of addresses,
HTML and JSON, other case, spaces between the characters, and backwards. A server that wants to can still store the key
in a form of its own; it knows the key anyway.
"""

import base64
import os
import re
from typing import Any

from whenwhere.errors import SettingError

#: Keys shorter than this are placeholders ("EMPTY", "x") and too likely to be an ordinary word of an answer to hide.
_SECRET = 8
#: A character that was escaped for an address (also twice), a JSON string or HTML.
_ESCAPED = re.compile(
    r"%(?:25)*([0-9a-f]{2})|\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})|&#x0{0,4}([0-9a-f]{2});?|&#0{0,4}(\d{2,3});?",
    re.IGNORECASE,
)


class ApiKey:
    """The key in an environment variable.

    Args:
        variable: Name of the environment variable. If it is unset or empty, no key is sent.

    Raises:
        SettingError: the variable holds something that cannot be a key (the message does not show it).
    """

    __slots__ = ("_forms", "_value", "variable")

    def __init__(self, variable: str = "OPENAI_API_KEY") -> None:
        self.variable = variable
        self._value = os.environ.get(variable, "").strip()
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise SettingError(f"${variable} holds spaces or characters that no key has: set it again")
        self._forms = _forms(self._value)

    def __repr__(self) -> str:
        return f"ApiKey({self.variable!r})"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[type["ApiKey"], tuple[str]]:
        # a copy for another process carries the name and not the key
        return ApiKey, (self.variable,)

    def header(self) -> dict[str, str]:
        """The authorization header of a request; empty if there is no key."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hide(self, text: str) -> str:
        """The text with the key replaced by the name of its variable."""
        if len(self._value) < _SECRET:
            return text
        name = f"[${self.variable}]"
        text = text.replace(self._value, name)
        if _holds(text, self._forms):
            for form in self._forms:
                text = _pattern(form).sub(lambda _: name, text)
            # Whatever the patterns miss is hidden as a whole.
            text = name if _holds(text, self._forms) else text
        return text

    def hide_in(self, value: Any) -> Any:
        """A JSON value with the key hidden in all its texts and keys, for whatever is stored."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list | tuple):
            return [self.hide_in(one) for one in value]
        if isinstance(value, dict):
            return {self.hide(str(key)): self.hide_in(one) for key, one in value.items()}
        return value


def _forms(key: str) -> tuple[str, ...]:
    """A key in each of the forms in which it is looked for."""
    data = key.encode()
    forms = [key, key[::-1], data.hex()]
    for shift in range(3):
        # What is encoded before the key shifts it by whole bytes, of which three make four characters. Characters at
        # both ends that depend on the neighbours are left out.
        whole = base64.b64encode(bytes(shift) + data + bytes(2)).decode()
        core = whole[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
        forms += [core, core.translate(str.maketrans("+/", "-_"))]
    return tuple(dict.fromkeys(forms))


def _holds(text: str, forms: tuple[str, ...]) -> bool:
    """Whether a text holds a key in one of its forms, whatever its case, its spaces and its escapes."""
    if any(mark in text for mark in "%\\&"):
        text = _ESCAPED.sub(_unescaped, text)
    text = "".join(text.split()).casefold()
    return any(form.casefold() in text for form in forms)


def _unescaped(found: re.Match[str]) -> str:
    *hexadecimal, decimal = found.groups()
    return chr(int(decimal)) if decimal else chr(int(next(digits for digits in hexadecimal if digits), 16))


def _pattern(form: str) -> re.Pattern[str]:
    """What a form of a key looks like in a text, with a few characters of base64 around it."""
    characters = (
        rf"(?:{re.escape(c)}|%(?:25)*{ord(c):02x}|\\u00{ord(c):02x}|\\x{ord(c):02x}"
        rf"|&\#x0{{0,4}}{ord(c):02x};?|&\#0{{0,4}}{ord(c)};?)"
        for c in form
    )
    return re.compile(r"[\w+/=-]{0,2}" + r"\s*".join(characters) + r"[\w+/=-]{0,3}", re.IGNORECASE)
