"""Print the house: its floors, which room imports which, and what a healthy house must not have.

    python docs/house.py [SOURCE]

SOURCE is a folder that holds a package's modules, by default `src/whenwhere`. The script reads source text only; it
imports nothing of the package. It exits with status 1 if the house has one of these:

- a room (a module or package at the top of SOURCE) that has no place on a floor,
- an import that goes up a floor, or to the right on one floor,
- files that import each other in a circle, counting imports inside functions and those made only for types,
- a public class name that is defined in more than one place.

Sizes of files, uses of `Any` and function names that several rooms define are printed for information.
`tests/test_house.py` calls the functions of this file, so that there is one copy of the rules.
"""

import ast
import statistics
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "whenwhere"

#: Rooms from the ground up. A room may import from lower floors and, on its own floor, from rooms to its left.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "readers", "spans", "boxes", "tubes", "overlap", "records", "stats", "store", "array_cache", "version"),
    ("video", "tracking", "answers", "chat", "verify", "datasets", "evaluate", "engine"),
    ("stage", "models", "export"),
    ("grounders", "curate", "training", "settings", "notebook", "session", "results", "jobs", "answering", "batching"),
    ("ablate", "serve", "diagnosis"),
    ("cli",),
)
#: For each floor, what its rooms hold.
FLOOR_CONTENTS = (
    "safe readers · the words span, box, tube and record · overlaps · statistics · whole files and caches by content",
    "exact frames at given times · rate, fill, smoothing, cuts · parser and dialects · model endpoints · rewards · "
    "released sets and manifests · tasks and protocols · work by many processes, here or on Ray",
    "procedural worlds with exact truth · back ends, encoders, detectors · files and the page",
    "pipelines that answer · curation · training · one video asked, many videos asked, stored answers",
    "engines that call the engines below · what works on this machine",
    "reads options, calls one public function, prints",
)
PLACES = {room: (floor, i) for floor, rooms in enumerate(FLOORS) for i, room in enumerate(rooms)}

#: Function names that rooms share by design: each is the verb of an interface, or what a kind of file always exports.
INTERFACE_VERBS = frozenset({"build", "load", "main", "open", "read", "render", "save", "score", "write"})


@dataclass(frozen=True)
class SourceFile:
    """One file of the package, as its text shows it.

    Attributes:
        name: Path relative to the package's folder, with forward slashes.
        room: The module or package at the top of the package that the file belongs to; "" for the package itself.
        lines: Number of lines.
        imports: Names of the files that it imports, wherever in the file the import stands.
        classes: Names of the public classes at the top level of the file.
        functions: Names of the public functions at the top level of the file.
        any_count: How often the file uses `Any` as a type.
    """

    name: str
    room: str
    lines: int
    imports: frozenset[str]
    classes: tuple[str, ...]
    functions: tuple[str, ...]
    any_count: int


def read_house(source: Path = SOURCE) -> dict[str, SourceFile]:
    """All Python files of a package by their relative path."""
    paths = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*.py"))}
    modules = {module_name(name, source.name): name for name in paths}
    files = {}
    for name, path in paths.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        package = module_name(name, source.name).split(".")
        if not name.endswith("__init__.py"):
            package.pop()
        files[name] = SourceFile(
            name=name,
            room=room_of(name),
            lines=len(text.splitlines()),
            imports=imported_files(tree, package, modules) - {name},
            classes=public_names(tree, (ast.ClassDef,)),
            functions=public_names(tree, (ast.FunctionDef, ast.AsyncFunctionDef)),
            any_count=sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree)),
        )
    return files


def module_name(file: str, package: str) -> str:
    """The dotted name under which a file of a package is imported.

    >>> module_name("video/read.py", "whenwhere"), module_name("video/__init__.py", "whenwhere")
    ('whenwhere.video.read', 'whenwhere.video')
    """
    return ".".join([package, *file.removesuffix(".py").removesuffix("__init__").split("/")]).rstrip(".")


def room_of(file: str) -> str:
    """The room of a file; "" for the package's own `__init__.py` and `__main__.py`.

    >>> room_of("video/read.py"), room_of("spans.py"), room_of("__init__.py")
    ('video', 'spans', '')
    """
    room = file.split("/")[0].removesuffix(".py")
    return "" if room in ("__init__", "__main__") else room


def imported_files(tree: ast.Module, package: list[str], modules: Mapping[str, str]) -> frozenset[str]:
    """The files of the package that a syntax tree imports.

    `from a import b` counts as an import of the file `a/b.py` if there is one, and of `a` otherwise. That Python runs
    `a/__init__.py` before `a/b.py` does not count as an import of it.

    Args:
        tree: The syntax tree of the importing file.
        package: Parts of the dotted name of the package that holds the importing file, for relative imports.
        modules: File name by dotted module name, for all files of the package.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {modules[alias.name] for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                module = f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
                if module in modules:
                    found.add(modules[module])
    return frozenset(found)


def public_names(tree: ast.Module, kinds: tuple[type[ast.stmt], ...]) -> tuple[str, ...]:
    """Names of the definitions of some kinds at the top level of a file that do not begin with an underscore."""
    names = (node.name for node in tree.body if isinstance(node, kinds) and hasattr(node, "name"))
    return tuple(name for name in names if not name.startswith("_"))


def unplaced_rooms(files: Mapping[str, SourceFile]) -> list[str]:
    """Rooms that stand on no floor."""
    return sorted({file.room for file in files.values()} - PLACES.keys() - {""})


def room_imports(files: Mapping[str, SourceFile]) -> dict[str, set[str]]:
    """For each room, the other rooms that it imports."""
    found: dict[str, set[str]] = {file.room: set() for file in files.values()}
    for file in files.values():
        found[file.room] |= {files[other].room for other in file.imports} - {file.room}
    return found


def breaches(files: Mapping[str, SourceFile]) -> list[str]:
    """Imports that go up a floor, or to the right on one floor.

    The package's own `__init__.py` hands out names of every floor, and nothing on a floor is below it.
    """
    return [
        f"{file.name} imports {room}"
        for _, file in sorted(files.items())
        if file.room in PLACES
        for room in sorted({files[other].room for other in file.imports} - {file.room, ""})
        if room in PLACES and not PLACES[room] < PLACES[file.room]
    ]


def circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of files of which each imports, directly or through others, all the rest (strongly connected components).

    >>> circles({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []})
    [['a', 'b', 'c']]
    """
    reached: dict[str, set[str]] = {}
    for start in imports:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = set(imports[waiting.pop()]) - seen
            seen |= new
            waiting += new
        reached[start] = seen
    groups = {frozenset(b for b in reached[a] if a in reached[b]) for a in imports if a in reached[a]}
    return sorted(sorted(group) for group in groups)


def file_circles(files: Mapping[str, SourceFile]) -> list[list[str]]:
    """`circles` over the files of a package."""
    return circles({name: file.imports for name, file in files.items()})


def repeated_classes(files: Mapping[str, SourceFile]) -> dict[str, list[str]]:
    """Public class names that are defined in more than one place, with the files that define them."""
    places = defaultdict(list)
    for name, file in sorted(files.items()):
        for defined in file.classes:
            places[defined].append(name)
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def repeated_functions(files: Mapping[str, SourceFile]) -> dict[str, list[str]]:
    """Public function names that more than one room defines, with the files, without the interface verbs."""
    places = defaultdict(list)
    for name, file in sorted(files.items()):
        for defined in file.functions:
            if defined not in INTERFACE_VERBS:
                places[defined].append(name)
    return {name: where for name, where in sorted(places.items()) if len({room_of(file) for file in where}) > 1}


def picture(files: Mapping[str, SourceFile]) -> str:
    """The house as text: floors from the top down, each room with its size and the rooms that it imports."""
    imports = room_imports(files)
    out = []
    for floor in reversed(range(len(FLOORS))):
        out.append(f"floor {floor}")
        for room in FLOORS[floor]:
            inside = [file for file in files.values() if file.room == room]
            if inside:
                below = sorted((other for other in imports[room] if other in PLACES), key=PLACES.__getitem__)
                lines = sum(file.lines for file in inside)
                out.append(f"  {room:<10} {len(inside):>3} files {lines:>6} lines  imports {' '.join(below) or '–'}")
    return "\n".join(out)


def floor_plan(files: Mapping[str, SourceFile]) -> str:
    """The floors with their rooms from the ground up and what they hold, for CONTRIBUTING.md.

    Rooms are written with a slash if they are packages, and with arrows where their order on the floor matters.
    """
    out = []
    for floor, rooms in enumerate(FLOORS):
        present = [room for room in rooms if any(file.room == room for file in files.values())]
        if present:
            names = [f"{room}/" if f"{room}/__init__.py" in files else room for room in present]
            out.append(f"floor {floor}  {(' → ' if floor else ' ').join(names)}")
            out += textwrap.wrap(FLOOR_CONTENTS[floor], 100, initial_indent=" " * 9, subsequent_indent=" " * 9)
    return "\n".join(out)


def faults(files: Mapping[str, SourceFile]) -> dict[str, list[str]]:
    """What a healthy house does not have: a heading for each kind, with the cases found."""
    return {
        "rooms without a floor": unplaced_rooms(files),
        "imports that go up or to the right": breaches(files),
        "circles of files": [" ".join(circle) for circle in file_circles(files)],
        "public class names defined more than once": [
            f"{name}: {' '.join(where)}" for name, where in repeated_classes(files).items()
        ],
    }


def main() -> int:
    """Print the picture, the faults and the sizes; the exit status is 1 if there is a fault."""
    files = read_house(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SOURCE)
    out = [picture(files), ""]
    found = faults(files)
    for heading, cases in found.items():
        out += [f"{heading}: {len(cases)}", *(f"  {case}" for case in cases)]
    functions = repeated_functions(files)
    out += ["", f"public function names in more than one room: {len(functions)}"]
    out += [f"  {name}: {' '.join(where)}" for name, where in functions.items()]
    out += [f"  not counted, as verbs of interfaces: {' '.join(sorted(INTERFACE_VERBS))}", ""]
    sizes = sorted(((file.lines, name) for name, file in files.items()), reverse=True)
    median = statistics.median(lines for lines, _ in sizes)
    out += [f"files: {len(files)}, {sum(lines for lines, _ in sizes)} lines, median {median:g}; the longest:"]
    out += [f"  {lines} {name}" for lines, name in sizes[:8]]
    uses = sorted(((file.any_count, name) for name, file in files.items()), reverse=True)
    out += [f"uses of Any: {sum(count for count, _ in uses)}; most in:"]
    out += [f"  {count} {name}" for count, name in uses[:8] if count]
    sys.stdout.write("\n".join(out) + "\n")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
