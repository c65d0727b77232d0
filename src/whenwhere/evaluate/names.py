"""Names of benchmarks and protocols as people type them, and the closest names for one that does not exist.

Every name is spelled with hyphens and lower case (`vue-stg`). What is typed is compared without case, hyphens,
underscores and spaces, so `VUE_STG` and `QVHighlights` are found too. `BENCHMARK_ALIASES` and `PROTOCOL_ALIASES` hold
the short names of the field that belong to exactly one entry.
"""

from collections.abc import Mapping
from typing import TypeVar

from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.errors import SettingError, did_you_mean, squeeze
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
Entry = TypeVar("Entry")


def resolve(name: str, known: Mapping[str, Entry], aliases: Mapping[str, str] | None = None) -> str | None:
    """The key of `known` that was meant, or None if there is none.

    >>> resolve("QVHighlights", {"qvhighlights": 1}), resolve("qvh", {"qvhighlights": 1}, {"qvh": "qvhighlights"})
    ('qvhighlights', 'qvhighlights')
    """
    if name in known:
        return name
    short = squeeze(name)
    spelled = {squeeze(alias): meant for alias, meant in (aliases or {}).items() if meant in known}
    spelled |= {squeeze(key): key for key in known}
    return spelled.get(short)


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
            f"there is no benchmark {name!r}{did_you_mean(name, BENCHMARKS)}; `whenwhere eval --list` shows all"
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
            f"there is no protocol {asked!r}{did_you_mean(asked, PROTOCOLS)}; `whenwhere eval --list` shows all"
        )
    protocol = PROTOCOLS[found]
    if benchmark is not None and benchmark.task not in protocol.tasks:
        fitting = ", ".join(p.name for p in PROTOCOLS.values() if benchmark.task in p.tasks)
        raise SettingError(
            f"protocol {found!r} scores {', '.join(protocol.tasks)}, and answers to {benchmark.name} are "
            f"{benchmark.task}: choose from {fitting}"
        )
    return protocol
