"""Every example in the README and the guide runs, page by page, from top to bottom."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(?:python|pycon|py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(text: str) -> str:
    """The interactive code blocks of a page in place, everything else blank."""
    kept, end = "", 0
    for block in FENCE.finditer(text):
        if ">>> " in block[1]:
            kept += "\n" * text.count("\n", end, block.start(1)) + block[1]
            end = block.end(1)
    return kept


def test_examples_keeps_only_code_and_its_line_numbers() -> None:
    page = "Text >>> no\n```python\n>>> 1 + 1\n2\n```\n```bash\n>>> no\n```\n"
    (test,) = doctest.DocTestParser().get_examples(examples(page))
    assert (test.source, test.want, test.lineno) == ("1 + 1\n", "2\n", 2)


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(REPOSITORY))) for page in PAGES]
)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        if ">>> " not in block[1]:
            compile(block[1], str(page), "exec")
    parsed = doctest.DocTestParser().get_doctest(examples(text), {}, page.name, str(page), 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(parsed, out=report.append)
    assert not runner.failures, "".join(report)
