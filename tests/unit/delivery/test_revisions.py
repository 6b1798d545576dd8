"""Revisions: content-addressed, compressed, and never a Secret value in clear."""

import base64
import gzip

import orjson
import pytest

from understudy.delivery import errors, revisions, targets
from understudy.kube import objects

OWNER = targets.Owner("shop", "default")


def config(name: str, **data: str) -> objects.Object:
    meta = {"name": name, "namespace": "n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def secret(name: str, **data: str) -> objects.Object:
    meta = {"name": name, "namespace": "n"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}


def revision(*given: objects.Object, salt: str = "salt") -> revisions.Revision:
    return revisions.Revision(
        owner=OWNER, number=3, digest=revisions.digest_of(given, salt), objects=given, salt=salt
    )


def test_the_digest_is_of_the_content_alone() -> None:
    a, b = config("a", x="1"), config("b")
    assert revisions.digest_of([a, b], "") == revisions.digest_of(
        [b, dict(reversed(a.items()))], ""
    )
    assert revisions.digest_of([a], "") != revisions.digest_of([config("a", x="2")], "")


def test_a_secret_value_changes_the_digest_and_needs_the_salt() -> None:
    one, other = secret("s", key="a"), secret("s", key="b")
    assert revisions.digest_of([one], "x") != revisions.digest_of([other], "x")
    assert revisions.digest_of([one], "x") != revisions.digest_of([one], "y")


def test_a_record_reads_back_as_it_was() -> None:
    made = revision(config("a", x="1"), secret("s", key="hunter2"))
    record, values = revisions.as_objects(made)
    read = revisions.from_objects(record, values)
    assert read.objects == tuple(revisions.canonical(made.objects))
    assert (read.name, read.digest, read.salt) == ("shop-v3", made.digest, "salt")


def test_the_record_holds_no_secret_value() -> None:
    record, values = revisions.as_objects(revision(secret("s", key="hunter2")))
    unpacked = gzip.decompress(base64.b64decode(record["spec"]["data"]))
    assert b"hunter2" not in unpacked
    assert orjson.loads(unpacked)[0]["stringData"] == {"key": None}
    assert values is not None
    assert b"hunter2" in gzip.decompress(base64.b64decode(values["data"]["values"]))


def test_without_secrets_there_is_no_secret_to_keep() -> None:
    record, values = revisions.as_objects(revision(config("a"), salt=""))
    assert values is None
    assert "values" not in record["spec"]


def test_a_revision_whose_values_are_gone_says_so() -> None:
    record, _ = revisions.as_objects(revision(secret("s", key="v")))
    with pytest.raises(
        errors.NoSuchRevisionError, match="the Secret shop-v3-values does not exist"
    ):
        revisions.from_objects(record, None)


def test_the_same_content_gives_the_same_bytes() -> None:
    made = [revisions.as_objects(revision(config("a"), config("b"), salt="")) for _ in range(2)]
    assert made[0] == made[1]


def test_what_no_record_can_hold_is_refused_with_its_size() -> None:
    import random

    noise = random.Random(1).randbytes(1_500_000).hex()
    with pytest.raises(errors.DeliveryError, match="more than the 1400000 that one revision"):
        revisions.as_objects(revision(config("a", x=noise), salt=""))
