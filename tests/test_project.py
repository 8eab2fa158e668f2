"""Rules for the source itself: size, imports, exports, examples."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hubzarr

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = sorted((REPOSITORY / "hubzarr").rglob("*.py"))
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60  # without its docstring
MAX_CLASS_LINES = 350

each_source = pytest.mark.parametrize(
    "path", SOURCES, ids=[str(path.relative_to(REPOSITORY)) for path in SOURCES]
)


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk_executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that may run: bodies of functions too, `if TYPE_CHECKING:` not."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if is_type_checking(child):
            for other in child.orelse:
                yield from walk_executed(other)
        else:
            yield from walk_executed(child)


def own_imports(tree: ast.AST, importer: Path) -> set[str]:
    """Modules of hubzarr that `tree`, a part of the file `importer`, imports."""
    package = module_name(importer)
    if importer.name != "__init__.py":
        package = package.rpartition(".")[0]
    found = set()
    for node in walk_executed(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*base, *([source] if source else [])])
            submodules = {f"{source}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else source for name in submodules}
    return found & MODULES.keys()


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of the graph, or an empty list."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph[name]):
            if cycle := visit(target, [*trail, name]):
                return cycle
        done.add(name)
        return []

    return next((cycle for name in sorted(graph) if (cycle := visit(name, []))), [])


def export_rank(name: str) -> tuple[int, str]:
    """The order that ruff's RUF022 asks for: CONSTANTS, Classes, the rest."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1 if name[0].isupper() else 2), name


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    start, end = node.lineno, node.end_lineno or node.lineno
    first = node.body[0]
    documented = ast.get_docstring(node) is not None
    return end - start + 1 - ((first.end_lineno or 0) - first.lineno + 1 if documented else 0)


def test_find_cycle_finds_cycles() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


@each_source
def test_budgets(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_MODULE_LINES, f"{path.name} has {lines} lines: split it"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert length(node) <= MAX_FUNCTION_LINES, f"{node.name}: {length(node)} lines"
        elif isinstance(node, ast.ClassDef):
            code = sum(length(part) for part in node.body if isinstance(part, ast.FunctionDef))
            assert code <= MAX_CLASS_LINES, f"class {node.name}: {code} lines of methods"


def test_no_import_cycles() -> None:
    """Imports within functions and imports of a package by its own modules count too."""
    graph = {name: own_imports(parse(path), path) for name, path in MODULES.items()}
    assert not find_cycle(graph), " -> ".join(find_cycle(graph))


@each_source
def test_own_modules_are_imported_at_the_top(path: Path) -> None:
    for node in walk_executed(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            local = own_imports(node, path)
            assert not local, f"{node.name} imports {sorted(local)}: move it to the top"


@each_source
def test_nothing_is_left_undone(path: Path) -> None:
    words = re.findall(r"\b(TO" r"DO|FIX" r"ME)\b", path.read_text(encoding="utf-8"))
    assert not words
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            assert "NotImplementedError" not in ast.unparse(node.exc), f"line {node.lineno}"


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are_for(name: str) -> None:
    assert ast.get_docstring(parse(MODULES[name])), f"{name} has no docstring"


FRAMEWORKS = ("torch", "tensorflow", "jax")


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_exports(name: str) -> None:
    for framework in FRAMEWORKS:
        if name.startswith(f"hubzarr.loaders.{framework}"):
            pytest.importorskip(framework, reason=f"{framework} is not installed")
    module = importlib.import_module(name)
    exports = getattr(module, "__all__", [])
    missing = [export for export in exports if not hasattr(module, export)]
    assert not missing
    assert list(exports) == sorted(set(exports), key=export_rank)
    assert set(exports) <= set(dir(module)), "a lazy module needs __dir__"


def exported() -> list[str]:
    """Functions and classes of the public API; errors explain themselves in their module."""
    names = []
    for name in hubzarr.__all__:
        value = getattr(hubzarr, name)
        is_error = inspect.isclass(value) and issubclass(value, BaseException)
        if (inspect.isclass(value) or inspect.isfunction(value)) and not is_error:
            names.append(name)
    return names


@pytest.mark.parametrize("name", exported())
def test_public_names_have_examples(name: str) -> None:
    docstring = inspect.getdoc(getattr(hubzarr, name)) or ""
    assert re.search(r"^Examples\n-{8}$", docstring, re.MULTILINE), f"{name}: no Examples section"
    assert ">>> " in docstring.partition("Examples\n")[2]


@pytest.mark.parametrize("name", exported())
def test_public_methods_are_documented(name: str) -> None:
    value = getattr(hubzarr, name)
    members = vars(value).items() if inspect.isclass(value) else ()
    bare = [
        key
        for key, member in members
        if not key.startswith("_")
        and (callable(member) or isinstance(member, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(value, key))
    ]
    assert not bare
