"""Tokens that are kept in Secrets: filled in, filled again, and gone with their account."""

from __future__ import annotations

import base64

import pytest

from understudy.aio import clocks, ids
from understudy.controllers import registry, running
from understudy.controllers.runtime import settings
from understudy.kapi import views
from understudy.kapi.views import options
from understudy.kube import objects

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"


class World:
    """A view whose controllers are run by hand."""

    def __init__(self) -> None:
        self.clock = clocks.ManualClock()
        self.view = views.new_view(clock=self.clock, ids=ids.SeededIds(1))
        self.reactor = registry.assemble(
            self.view, "serviceaccount-controller,serviceaccount-token-controller",
            settings.Runtime(kind="none"), self.clock, [].append,
            root_ca="PEM", sign_token=self.sign,
        )  # fmt: skip
        self.reactor.attach()

    def sign(self, account: objects.Object, secret: objects.Object) -> str:
        return f"for {objects.name_of(account)} in {objects.name_of(secret)}"

    def settle(self) -> None:
        running.advance(self.reactor, self.clock, 1.0)

    def account(self, name: str = "bot", **more) -> objects.Object:
        self.view.create("serviceaccounts", {"metadata": {"name": name}, **more}, "default")
        found = self.view.find("serviceaccounts", "default", name)
        assert found is not None
        return found

    def secret(self, **marks: str) -> None:
        meta = {"name": "bot-token", "annotations": {NAME: "bot", **marks}}
        self.view.create("secrets", {"metadata": meta, "type": TYPE}, "default")
        self.settle()

    def found(self) -> objects.Object | None:
        return self.view.find("secrets", "default", "bot-token")

    def data(self) -> dict[str, str]:
        held = (self.found() or {})["data"]
        return {key: base64.b64decode(value).decode() for key, value in held.items()}


@pytest.fixture
def world() -> World:
    return World()


FILLED = {"ca.crt": "PEM", "namespace": "default", "token": "for bot in bot-token"}


def test_a_secret_is_filled_for_the_account_it_names(world) -> None:
    account = world.account()
    world.secret()
    assert world.data() == FILLED
    assert objects.annotations_of(world.found()) == {NAME: "bot", UID: objects.uid_of(account)}


def test_what_is_taken_from_a_secret_comes_back(world) -> None:
    world.account()
    world.secret()
    gone = {"data": {"token": None, "namespace": None, "ca.crt": "b3RoZXI="}}
    world.view.patch("secrets", "bot-token", gone, "default", patch_type=options.MERGE_PATCH)
    world.settle()
    assert world.data() == FILLED


@pytest.mark.parametrize("marks", [{}, {UID: "another"}], ids=["absent", "another"])
def test_a_secret_without_its_account_is_deleted(world, marks) -> None:
    if marks:
        world.account()
    world.secret(**marks)
    assert world.found() is None


def test_a_secret_goes_with_its_account(world) -> None:
    world.account()
    world.secret()
    world.view.delete("serviceaccounts", "bot", "default")
    world.account()
    world.settle()
    assert world.found() is None


def test_an_account_forgets_a_secret_that_goes(world) -> None:
    world.account(secrets=[{"name": "bot-token"}, {"name": "other"}])
    world.secret()
    world.view.delete("secrets", "bot-token", "default")
    world.settle()
    account = world.view.find("serviceaccounts", "default", "bot")
    assert account["secrets"] == [{"name": "other"}]


def test_other_secrets_are_left_alone(world) -> None:
    meta = {"name": "bot-token", "annotations": {NAME: "bot"}}
    world.view.create("secrets", {"metadata": meta, "stringData": {"note": TYPE}}, "default")
    world.settle()
    assert "token" not in (world.found() or {})["data"]
