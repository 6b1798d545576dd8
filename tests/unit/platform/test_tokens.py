"""The file of tokens: who may be which agent, which caller may do what."""

import orjson
import pytest

from understudy.platform import errors, relaying
from understudy.platform.hub import tokens


@pytest.fixture
def file(tmp_path):
    return tokens.TokenFile(tmp_path / "tokens.json")


def test_a_token_is_for_one_instance_and_only_its_hash_is_kept(file):
    token = file.add_agent("prod-eu")
    file.add_agent("prod-us")
    assert file.read().instance_of(token) == "prod-eu"
    assert file.read().instance_of(token + "x") is None
    assert file.read().caller_of(token) is None
    assert token not in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_tokens_of_an_agent_are_replaced_one_after_another_or_all_at_once(file):
    first, second = file.add_agent("prod-eu"), file.add_agent("prod-eu")
    assert {file.read().instance_of(one) for one in (first, second)} == {"prod-eu"}
    third = file.add_agent("prod-eu", replacing=True)
    assert [file.read().instance_of(one) for one in (first, second, third)] == [
        None, None, "prod-eu",
    ]  # fmt: skip
    for _ in range(tokens.TOKENS_OF_AGENT_MAX - 1):
        file.add_agent("prod-eu")
    with pytest.raises(errors.InvalidRequestError, match="replace them"):
        file.add_agent("prod-eu")


def test_a_caller_sees_the_instances_of_its_patterns(file):
    token = file.add_caller("ci", relaying.Access.WRITE, ("prod-*", "stage"))
    found = file.read().caller_of(token)
    assert (found.name, found.access) == ("ci", relaying.Access.WRITE)
    assert [found.may_see(one) for one in ("prod-eu", "stage", "stage-2")] == [True, True, False]
    again = file.add_caller("ci", relaying.Access.READ, ("*",))
    assert file.read().caller_of(token) is None
    assert file.read().caller_of(again).access is relaying.Access.READ


def test_what_another_process_changed_counts_at_once(file):
    token = file.add_agent("prod-eu")
    other = tokens.TokenFile(file.path)
    assert other.read().instance_of(token) == "prod-eu"
    assert file.remove("prod-eu")
    assert not file.remove("prod-eu")
    assert other.read().instance_of(token) is None


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        b"[]",
        b'{"agents": {"No_pe": []}}',
        b'{"callers": {"ci": {"sha256": "x", "access": "all"}}}',
        b'{"callers": {"ci": {"access": "read"}}}',
    ],
)
def test_a_file_that_is_none_is_named(file, content):
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    with pytest.raises(errors.InvalidRequestError, match=r"tokens\.json is no file of tokens"):
        file.read()


def test_a_file_that_others_may_read_is_refused(file):
    file.path.write_bytes(orjson.dumps({"agents": {}}))
    file.path.chmod(0o644)
    with pytest.raises(errors.InvalidRequestError, match="chmod 600"):
        file.read()
