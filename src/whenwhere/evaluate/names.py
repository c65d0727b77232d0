"""Names of benchmarks and protocols as people type them, and the closest names for one that does not exist.

Every name is spelled with hyphens and lower case (`vue-stg`). What is typed is compared without case, hyphens,
underscores and spaces, so `VUE_STG` and `QVHighlights` are found too. `BENCHMARK_ALIASES` and `PROTOCOL_ALIASES` hold
the short names of the field that belong to exactly one entry.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.errors import SettingError
from whenwhere.evaluate.protocol import Protocol
from whenwhere.evaluate.protocols import PROTOCOLS

#: What people type for a benchmark → its name.
BENCHMARK_ALIASES = {
    "charades": "charades-sta",
    "anet-captions": "activitynet-captions",
    "hc-stvg": "hcstvg-v1",
    "hc-stvg2": "hcstvg-v2",
    "qvh": "qvhighlights",
    "vidi": "vue-stg",
}
#: What people type for a protocol → its name.
PROTOCOL_ALIASES = {
    "charades": "charades-sta",
    "anet-captions": "activitynet-captions",
    "hc-stvg": "hcstvg-official",
    "llava-st": "st-align",
    "qvh": "qvhighlights",
    "vidor": "vidor-viou",
}
#: Largest number of names proposed for one that does not exist.
PROPOSED = 5

Entry = TypeVar("Entry")


def squeezed(name: str) -> str:
    """The name without case and without anything but letters and digits, as names are compared.

    >>> squeezed("HC-STVG v1"), squeezed("vue_stg")
    ('hcstvgv1', 'vuestg')
    """
    return "".join(c for c in name.casefold() if c.isalnum())


def resolve(name: str, known: Mapping[str, Entry], aliases: Mapping[str, str] | None = None) -> str | None:
    """The key of `known` that was meant, or None if there is none.

    >>> resolve("QVHighlights", {"qvhighlights": 1}), resolve("qvh", {"qvhighlights": 1}, {"qvh": "qvhighlights"})
    ('qvhighlights', 'qvhighlights')
    """
    if name in known:
        return name
    short = squeezed(name)
    spelled = {squeezed(alias): meant for alias, meant in (aliases or {}).items() if meant in known}
    spelled |= {squeezed(key): key for key in known}
    return spelled.get(short)


def proposal(name: str, known: Iterable[str]) -> str:
    """A clause with at most five names that were probably meant: those that begin alike or are spelled alike.

    >>> names = ["charades-cd", "charades-sta", "tacos"]
    >>> proposal("charade", names), proposal("taco", names), proposal("x", names)
    (' (did you mean charades-cd or charades-sta?)', ' (did you mean tacos?)', '')
    """
    short = squeezed(name)
    keys = {squeezed(key): key for key in known}
    alike = [key for spelled, key in keys.items() if short and spelled.startswith(short)]
    if not alike:
        alike = [keys[spelled] for spelled in difflib.get_close_matches(short, keys, PROPOSED)]
    return f" (did you mean {' or '.join(alike[:PROPOSED])}?)" if alike else ""


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name or alias.

    Raises:
        SettingError: There is none; the message proposes the closest names.

    >>> find_benchmark("charades").name
    'charades-sta'
    """
    found = resolve(name, BENCHMARKS, BENCHMARK_ALIASES)
    if found is None:
        raise SettingError(
            f"there is no benchmark {name!r}{proposal(name, BENCHMARKS)}; `whenwhere eval --list` shows all"
        )
    return BENCHMARKS[found]


def find_protocol(name: str | None, benchmark: Benchmark | None = None) -> Protocol:
    """The protocol of that name or alias, or the one that the benchmark's papers score with.

    Args:
        name: As typed; None takes the benchmark's own protocol, or `default` without a benchmark.
        benchmark: The benchmark whose answers the protocol must be able to score.

    Raises:
        SettingError: There is no such protocol, or it cannot score this benchmark's kind of answer.

    >>> find_protocol("VUE_STG").name
    'vue-stg'
    """
    asked = name or (benchmark.protocol if benchmark else "default")
    found = resolve(asked, PROTOCOLS, PROTOCOL_ALIASES)
    if found is None:
        raise SettingError(
            f"there is no protocol {asked!r}{proposal(asked, PROTOCOLS)}; `whenwhere eval --list` shows all"
        )
    protocol = PROTOCOLS[found]
    if benchmark is not None and benchmark.task not in protocol.tasks:
        fitting = ", ".join(p.name for p in PROTOCOLS.values() if benchmark.task in p.tasks)
        raise SettingError(
            f"protocol {found!r} scores {', '.join(protocol.tasks)}, and answers to {benchmark.name} are "
            f"{benchmark.task}: choose from {fitting}"
        )
    return protocol
