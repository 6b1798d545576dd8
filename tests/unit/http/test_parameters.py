"""Query parameters and DeleteOptions."""

from __future__ import annotations

import pytest

from understudy.kapi.http import parameters, requests
from understudy.kapi.resources import strategies
from understudy.kube import statuses

USER = strategies.UserInfo()


def query(text):
    return requests.parse_query(text.encode())


def complaint(call):
    with pytest.raises(statuses.ApiError) as error:
        call()
    return error.value


@pytest.mark.parametrize(
    ("text", "watch", "expected"),
    [
        ("resourceVersionMatch=Exact", False, "is forbidden unless resourceVersion is provided"),
        ("resourceVersion=0&resourceVersionMatch=Exact", False, 'forbidden for resourceVersion "0"'),
        ("resourceVersion=1&resourceVersionMatch=Maybe", False, 'Unsupported value: "Maybe"'),
        ("sendInitialEvents=true", False, "sendInitialEvents is forbidden for list"),
        ("sendInitialEvents=true", True, "requires setting resourceVersionMatch to NotOlderThan"),
        ("resourceVersionMatch=NotOlderThan", True, "unless sendInitialEvents is provided"),
    ],
)  # fmt: skip
def test_contradicting_list_parameters_are_invalid(text, watch, expected):
    error = complaint(lambda: parameters.list_options(query(text), watch=watch))
    assert error.code == 422
    assert expected in error.message


@pytest.mark.parametrize("text", ["limit=x", "timeoutSeconds=1.5", "limit=%20 1"])
def test_numbers_must_be_numbers(text):
    error = complaint(lambda: parameters.list_options(query(text), watch=False))
    assert error.code == 400
    assert "strconv.ParseInt" in error.message


def test_every_bad_write_parameter_is_named():
    error = complaint(
        lambda: parameters.write_options(
            query("dryRun=Maybe&fieldValidation=Nope&fieldManager=" + "x" * 129),
            "CreateOptions",
            user=USER,
            user_agent="",
        )
    )
    fields = [cause["field"] for cause in error.causes]
    assert fields == ["fieldManager", "dryRun", "fieldValidation"]


def test_apply_needs_a_manager_and_only_apply_may_force():
    required = complaint(
        lambda: parameters.write_options(
            query(""), "PatchOptions", user=USER, user_agent="", applies=True
        )
    )
    assert "is required for apply patch" in required.message
    forced = complaint(
        lambda: parameters.write_options(
            query("force=true"), "PatchOptions", user=USER, user_agent=""
        )
    )
    assert "may not be specified for non-apply patch" in forced.message


@pytest.mark.parametrize(
    ("agent", "manager"),
    [
        ("kubectl/v1.33.0 (linux/amd64) kubernetes/abc", "kubectl"),
        ("plain", "plain"),
        ("", ""),
        ("tab\tname/1", "tabname"),
        ("x" * 200, "x" * 128),
    ],
)
def test_the_user_agent_names_the_manager(agent, manager):
    assert parameters.manager_of(agent) == manager


def test_a_delete_body_counts_and_the_query_does_not():
    options = parameters.delete_options(
        query("gracePeriodSeconds=7"),
        {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "dryRun": ["All"]},
        user=USER,
    )
    assert (options.grace_period_s, options.uid, options.dry_run) == (0, "u", True)
    assert (
        parameters.delete_options(query("gracePeriodSeconds=7"), None, user=USER).grace_period_s
        == 7
    )


def test_both_ways_to_say_orphan_are_refused():
    error = complaint(
        lambda: parameters.delete_options(
            query(""), {"orphanDependents": True, "propagationPolicy": "Orphan"}, user=USER
        )
    )
    assert "cannot be both set" in error.message
