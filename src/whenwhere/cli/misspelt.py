"""Proposes names when a command is misspelt."""

from typing import Any

import typer.core

from whenwhere.errors import SettingError, did_you_mean

#: The commands that do what people know from other tools by these words.
OTHER_WORDS = {
    "infer": "ground or batch",
    "inference": "ground or batch",
    "predict": "ground or batch",
    "ask": "ground",
    "run": "ground or batch",
    "evaluate": "eval",
    "score": "eval",
    "benchmark": "eval",
    "test": "eval",
    "finetune": "train",
    "fit": "train",
    "generate": "stage",
    "render": "stage",
    "synth": "stage",
    "check": "doctor",
    "info": "doctor",
    "convert": "data convert",
    "validate": "data validate",
    "stats": "data stats",
    "difficulty": "data difficulty",
    "status": "train status",
}


class SuggestingGroup(typer.core.TyperGroup):
    """A group of commands that proposes near names for one that it does not have."""

    # Typer brings its own copy of click in newer versions, so the types of click cannot be named here.
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names.

        Raises:
            SettingError: There is no such command; the message proposes others.
        """
        # a command of two words is found before the one that is its first word
        joined = " ".join(args[:2])
        if len(args) > 1 and (command := self.get_command(ctx, joined)) is not None:
            return joined, command, args[2:]
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            other = OTHER_WORDS.get(name.casefold()) if ctx.parent is None else None
            meant = f" (did you mean {other}?)" if other else did_you_mean(name, self.list_commands(ctx))
            raise SettingError(f"there is no command {name!r}{meant}; `{ctx.command_path} --help` lists all")
        return super().resolve_command(ctx, args)
