"""Our controllers against the recorded ones: the same scenarios, object by object.

`known_differences.json` lists what differs and why; it may only shrink. `merged` means that both
went through the same states, but one of them passed through several in one step. A trace does not
tell at which part of a second its scenario began, nor how long a kubelet took for what it meant to
do in half a second; so where there is a difference, others are tried.
"""

from __future__ import annotations

import filecmp
import json
from pathlib import Path

import pytest
import trace_comparison
import trace_player

KNOWN = json.loads((Path(__file__).parent / "known_differences.json").read_text())
NAMES = trace_player.names()


@pytest.mark.conformance
@pytest.mark.parametrize("name", NAMES)
def test_our_controllers_write_what_the_recorded_ones_wrote(name: str) -> None:
    differing = fewest_differences(name)
    known = KNOWN["traces"].get(name, {})
    new = [f"{one.grade}: {what}: {one.detail}" for what, one in differing.items()
           if what not in known]  # fmt: skip
    assert not new, "\n".join(new)
    healed = sorted(set(known) - set(differing))
    assert not healed, f"no longer differ, take them off known_differences.json: {healed}"


def fewest_differences(name: str) -> dict[str, trace_comparison.Verdict]:
    """Return what differs, by object, under the chances that make it the least."""
    theirs, found = trace_player.recorded(name), []
    for chance in trace_player.chances_of(name):
        verdicts = trace_comparison.compare(theirs, trace_player.play(name, chance))
        found.append({one.what: one for one in verdicts if one.grade != "same"})
        if not found[-1]:
            break
    return min(found, key=len)


def test_every_known_difference_has_a_reason_that_is_explained() -> None:
    used = {reason for listed in KNOWN["traces"].values() for reason in listed.values()}
    assert used == set(KNOWN["reasons"])


def test_a_scenario_played_twice_gives_the_same_trace() -> None:
    assert trace_player.play("deployment-rolling-update") == trace_player.play(
        "deployment-rolling-update"
    )


@pytest.mark.skipif(not trace_player.SHARED.exists(), reason="the original is not here")
def test_the_recordings_are_a_verbatim_copy() -> None:
    compared = filecmp.dircmp(trace_player.SHARED, trace_player.RECORDINGS, ignore=["__pycache__"])
    assert (compared.left_only, compared.right_only, compared.diff_files) == ([], [], [])
    traces = compared.subdirs["traces"]
    assert (traces.left_only, traces.right_only, traces.diff_files) == ([], [], [])


def test_a_difference_is_seen_and_named() -> None:
    theirs = trace_player.recorded("gc-two-owners")
    ours = trace_player.play("gc-two-owners")
    ours["stream"][-1]["type"] = "MODIFIED"
    ours["final"].append(ours["stream"][1]["object"])
    verdicts = {one.what: one.grade for one in trace_comparison.compare(theirs, ours)}
    assert "different" in verdicts.values()
