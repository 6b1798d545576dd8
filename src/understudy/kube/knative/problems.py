"""What is wrong with an object, collected and told as Knative tells it.

One line per distinct message, `message: path, path`, sorted by message; details follow on a line of
their own. (knative.dev/pkg `apis/field_error.go`.)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One message and the field paths it is about, e.g. `spec.template.spec.containers[0].image`.

    Attributes:
        details: A longer explanation, or empty.
    """

    message: str
    paths: tuple[str, ...]
    details: str = ""

    def __str__(self) -> str:
        """`message: paths`, and the details below."""
        line = f"{self.message}: {', '.join(self.paths)}"
        return f"{line}\n{self.details}" if self.details else line


class Problems:
    """Collects problems; those with one message and one explanation become one."""

    __slots__ = ("_paths",)

    def __init__(self) -> None:
        self._paths: dict[tuple[str, str], set[str]] = {}

    def add(self, message: str, *paths: str, details: str = "") -> None:
        """Note a problem; a path of `""` is kept as an empty one, as Knative does."""
        self._paths.setdefault((message, details), set()).update(paths or ("",))

    def missing(self, *paths: str) -> None:
        """Note required fields that are absent."""
        self.add("missing field(s)", *paths)

    def disallowed(self, *paths: str) -> None:
        """Note fields that must not be set."""
        self.add("must not set the field(s)", *paths)

    def invalid(self, value: object, path: str, details: str = "") -> None:
        """Note a value that the field cannot have."""
        self.add(f"invalid value: {value}", path, details=details)

    def out_of_bounds(self, value: object, low: object, high: object, path: str) -> None:
        """Note a number outside its bounds."""
        self.add(f"expected {low} <= {value} <= {high}", path)

    def none_of(self, *paths: str) -> None:
        """Note that exactly one of some fields is needed and none is there."""
        self.add("expected exactly one, got neither", *paths)

    def several_of(self, *paths: str) -> None:
        """Note that exactly one of some fields is needed and more are there."""
        self.add("expected exactly one, got both", *paths)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def sorted(self) -> list[Problem]:
        """Return what was noted, in Knative's order."""
        return [
            Problem(message, tuple(sorted(paths)), details)
            for (message, details), paths in sorted(self._paths.items())
        ]

    def __str__(self) -> str:
        """The text of Knative's refusal after `validation failed: `."""
        return "\n".join(str(problem) for problem in self.sorted())
