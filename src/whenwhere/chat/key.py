"""The key: read from the environment, put into one header, shown nowhere.

It is no attribute of a client that could be printed, logged or stored. Servers repeat keys in their errors, so every
text that comes back is searched for it.
"""

import os

from whenwhere.errors import SettingError

#: Shorter keys are placeholders ("EMPTY", "x") and too likely to be an ordinary word of an answer.
_SECRET = 8


class Key:
    """A key by the name of its environment variable.

    Args:
        variable: the environment variable; where it is unset or empty no key is sent.

    Raises:
        SettingError: what is in the variable cannot be a key (the key itself is not shown).
    """

    __slots__ = ("_value", "variable")

    def __init__(self, variable: str = "OPENAI_API_KEY") -> None:
        self.variable = variable
        self._value = os.environ.get(variable, "").strip()
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise SettingError(f"${variable} holds blanks or signs that no key has: set it again")

    def __repr__(self) -> str:
        return f"Key({self.variable!r})"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[type["Key"], tuple[str]]:
        # a copy for another process carries the name and not the key
        return Key, (self.variable,)

    def header(self) -> dict[str, str]:
        """The header of a request, empty without a key."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hide(self, text: str) -> str:
        """The text without the key in it."""
        return text.replace(self._value, f"[${self.variable}]") if len(self._value) >= _SECRET else text
