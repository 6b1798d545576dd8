"""What can be wrong with an expression, before it runs and while it runs.

CelError
+-- CompileError       it does not parse or its types do not fit
+-- EvaluationError    it failed on these values (`no such key: a`)
    +-- CostError      it cost more than it may
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ISSUES_MAX = 100
"""Issues told of one expression."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One complaint of parser or checker at a place in the text (line from 1, column from 0)."""

    line: int
    column: int
    text: str


class CelError(Exception):
    """Anything wrong with an expression."""


class CompileError(CelError):
    """The expression does not parse, or its types do not fit; `str` is what Kubernetes shows.

    ERROR: <input>:1:5: undefined field 'x'
     | self.x
     | ....^

    Attributes:
        stage: What failed, as Kubernetes says before the text.
    """

    stage = "compilation failed"


class ProgramError(CompileError):
    """The expression checks, but no program can be made of it."""

    stage = "program instantiation failed"


class EvaluationError(CelError):
    """The expression failed on the values given; `str` is CEL's own text."""


class CostError(EvaluationError):
    """The expression cost more than it may."""


def compile_error(source: str, issues: Sequence[Issue]) -> CompileError:
    """Render issues, in the order of their places, each with the line it is about."""
    lines = source.split("\n")
    texts: list[str] = []
    for issue in sorted(issues, key=lambda issue: (issue.line, issue.column))[:ISSUES_MAX]:
        column = issue.column + 1 if source else 0
        text = f"ERROR: <input>:{issue.line}:{column}: {issue.text}"
        if 1 <= issue.line <= len(lines):
            line = lines[issue.line - 1].replace("\t", " ")
            if line or source:
                text += f"\n | {line}\n | {'.' * issue.column}^"
        texts.append(text)
    if len(issues) > ISSUES_MAX:
        texts.append(f"{len(issues) - ISSUES_MAX} more errors were truncated")
    return CompileError("\n".join(texts))
