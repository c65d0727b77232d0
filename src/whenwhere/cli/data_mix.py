"""`whenwhere data mix`: combines several sets into one manifest, by weights and caps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from whenwhere.cli import options

Number = TypeVar("Number", int, float)


def mix(
    sets: Annotated[
        list[str], typer.Argument(metavar="[BENCHMARK=]FILE...", help="Manifests, or released files of benchmarks.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Manifest to write: .jsonl or .parquet.")],
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="Weight of a set, named by its file without ending; others have 1. Repeatable."
        ),
    ] = None,
    cap: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="Most items of a set; repeatable.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(help="Number of items.", show_default="all, or with weights as many as they allow"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice and of the order.")] = 0,
    json_: options.JsonObject = False,
) -> None:
    """Combine several sets into one manifest. The same call gives the same file; every item says where it came from.

    Exit status: 0 done, 1 lines could not be read, 2 wrong usage.
    """
    from whenwhere.cli.console import Waiting, counted, note, note_faults, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate.mixing import mix_files

    weights, caps = _numbers(weight, "--weight", float), _numbers(cap, "--cap", int)
    with Waiting(f"mixing {counted(len(sets), 'set')}"):
        result = mix_files(sets, out, weights=weights, caps=caps, count=count, seed=seed)
    if json_:
        write_json(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        stdout.print(f"wrote {out}: {counted(len(result.items), 'item')}", markup=False)
        for name, taken in result.taken.items():
            share = taken / max(1, len(result.items))
            stdout.print(f"  {taken} of {result.had[name]} of {name}, {share:.1%} of the mix", markup=False)
    if result.short is not None:
        note(f"{result.short} has too few items for its share, so the mix is as large as that allows", "yellow")
    if result.shared:
        note(f"{counted(result.shared, 'video')} are in more than one of the sets", "yellow")
    note_faults(result.faults, f"{counted(len(result.faults), 'line')} could not be read and are not in the mix")
    if result.faults:
        raise typer.Exit(1)


def _numbers(given: list[str] | None, option: str, kind: Callable[[str], Number]) -> dict[str, Number]:
    """Numbers that were typed as NAME=NUMBER, by name.

    Raises:
        SettingError: A text has another form, or a name occurs twice.
    """
    from whenwhere.errors import SettingError

    found: dict[str, Number] = {}
    for one in given or []:
        name, sign, value = one.rpartition("=")
        try:
            if not sign or name in found:
                raise ValueError(one)
            found[name] = kind(value)
        except ValueError:
            raise SettingError(f"{option} {one} is not NAME=NUMBER, once for each set: write it as sta=2") from None
    return found
