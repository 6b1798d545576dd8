"""What the real control plane wrote, step by step, and what ours writes.

`known-differences.json` names what differs and why; it may only shrink.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import replay

KNOWN = json.loads((replay.HERE / "known-differences.json").read_text())
SHARED = Path(replay.__file__).resolve().parents[4] / "shared" / "knative"
SCENARIOS = sorted(path.stem for path in replay.TRACES.glob("s*.json"))


def answer_difference(step, answer):
    recorded = step.get("answer") or {}
    code, message = getattr(answer, "code", None), getattr(answer, "message", None)
    if (recorded.get("code") or 0) < 400:
        return f"refused: {code} {message}" if code else None
    if (code, message) != (recorded["code"], recorded.get("message")):
        return f"recorded {recorded['code']} {recorded.get('message')}, ours {code} {message}"
    return None


def tables_of(view_objects):
    return {
        tuple(key.split("/")): replay.condition_table(obj.get("status"))
        for key, obj in view_objects.items()
    }


def sequence_differences(step, writes, before):
    named = {
        (write["kind"], write["name"])
        for write in step["writes"]
        if write.get("kind") in replay.TOLD
    }
    for kind, name in sorted(named):
        recorded = replay.recorded_tables(step, kind, name)
        ours = replay.our_tables(writes, kind, name, before.get((kind, name), ""))
        if not replay.agree(recorded, ours):
            yield f"{kind}/{name} order of states", (recorded, ours)


def played(stem):
    """Play a scenario; return {step: {where: (recorded, ours)}} and the scenario."""
    scenario = replay.Scenario(replay.TRACES / f"{stem}.json")
    found, recorded, before = {}, {}, {}
    for step, answer, view_objects, writes in scenario.play():
        differences = replay.differences(step, view_objects)
        replay.follow(recorded, step)
        differences |= replay.made_differences(recorded, view_objects)
        differences |= dict(sequence_differences(step, writes, before))
        if complaint := answer_difference(step, answer):
            differences["answer"] = complaint
        before = tables_of(view_objects)
        found[step["step"]] = differences
    return found, scenario


@pytest.mark.parametrize("stem", SCENARIOS)
def test_a_scenario_goes_as_it_was_recorded(stem):
    found, scenario = played(stem)
    known = KNOWN.get(stem, {}).get("steps", {})

    new = {
        f"{step}: {where}": pair
        for step, differences in found.items()
        for where, pair in differences.items()
        if where not in known.get(step, ())
    }
    assert new == {}
    gone = {
        f"{step}: {where}"
        for step, wheres in known.items()
        for where in wheres
        if where not in found.get(step, {})
    }
    assert gone == set(), "agrees by now: take it out of known-differences.json"
    assert_that_what_is_not_routed_to_is_at_zero(scenario)


def assert_that_what_is_not_routed_to_is_at_zero(scenario):
    scenario.rest(seconds=90)
    view_objects = scenario.objects()
    for name in replay.fading(view_objects):
        autoscaler = view_objects.get(f"PodAutoscaler/{name}")
        if autoscaler is None:
            continue  # its image was never found
        if replay.condition_table(autoscaler["status"]).startswith("Active=Unknown"):
            continue  # never became ready; the real one is not scaled down either
        assert autoscaler["status"]["desiredScale"] == 0, name


def test_every_known_difference_has_a_reason():
    assert all(entry["why"] for entry in KNOWN.values())


@pytest.mark.skipif(not SHARED.exists(), reason="the recordings' source is not here")
def test_the_recordings_are_verbatim_copies():
    for source in sorted((SHARED / "traces").glob("*.json")):
        assert (replay.TRACES / source.name).read_bytes() == source.read_bytes(), source.name
