"""A view without admission, and small ways to write to it and to read its refusals."""

import pytest

from understudy.aio import ids
from understudy.kapi import views
from understudy.kapi.admission import chain
from understudy.kube import statuses


class Bench:
    """Writes objects of any kind into a view whose only rules are those of the kinds."""

    def __init__(self):
        self.view = views.new_view(chain=chain.Chain(), ids=ids.SeededIds(7))

    def create(self, ref, obj, namespace="default", **options):
        obj = {"metadata": {"name": "a"}} | obj
        return self.view.create(ref, obj, self._scope(ref, namespace), **options)

    def made(self, ref, obj, namespace="default"):
        return self.create(ref, obj, namespace).object()

    def patch(self, ref, body, name="a", namespace="default", **options):
        return self.view.patch(ref, name, body, self._scope(ref, namespace), **options).object()

    def refused(self, ref, obj, namespace="default"):
        """Return the causes for which a new object is refused, as `field: message`."""
        with pytest.raises(statuses.InvalidError) as caught:
            self.create(ref, obj, namespace)
        return _causes(caught.value)

    def patch_refused(self, ref, body, name="a", namespace="default", **options):
        """Return the causes for which a change is refused, each once."""
        with pytest.raises(statuses.InvalidError) as caught:
            self.patch(ref, body, name, namespace, **options)
        return list(dict.fromkeys(_causes(caught.value)))

    def _scope(self, ref, namespace):
        return namespace if self.view.resolve(ref).namespaced else ""


def _causes(error):
    return [f"{cause['field']}: {cause['message']}" for cause in error.causes]


@pytest.fixture
def bench():
    return Bench()
