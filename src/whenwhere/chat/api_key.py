"""The API key of a server: read from the environment, put into one header, shown nowhere.

No object that could be printed, logged or stored holds the key as a readable attribute. Servers repeat keys in their
error messages, so the key is removed from every text that comes back.
"""

import os
from typing import Any

from whenwhere.errors import SettingError

#: Keys shorter than this are placeholders ("EMPTY", "x") and too likely to be an ordinary word of an answer to hide.
_SECRET = 8


class ApiKey:
    """The key in an environment variable.

    Args:
        variable: Name of the environment variable. If it is unset or empty, no key is sent.

    Raises:
        SettingError: the variable holds something that cannot be a key (the message does not show it).
    """

    __slots__ = ("_value", "variable")

    def __init__(self, variable: str = "OPENAI_API_KEY") -> None:
        self.variable = variable
        self._value = os.environ.get(variable, "").strip()
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise SettingError(f"${variable} holds spaces or characters that no key has: set it again")

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
        return text.replace(self._value, f"[${self.variable}]") if len(self._value) >= _SECRET else text

    def hide_in(self, value: Any) -> Any:
        """A JSON value with the key hidden in all its texts and keys, for whatever is stored."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list | tuple):
            return [self.hide_in(one) for one in value]
        if isinstance(value, dict):
            return {self.hide(str(key)): self.hide_in(one) for key, one in value.items()}
        return value
