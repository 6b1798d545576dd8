"""Ports of pods that run as local processes."""

import socket

import pytest

from understudy.controllers.runtime import ports


def pod(**mapping: int):
    return {
        "metadata": {"annotations": {ports.PORTS: ports.annotation({8080: 21500, 9090: 21501})}},
        "spec": {
            "containers": [
                {"name": "app", "ports": [{"containerPort": 8080, "name": "web"}]},
                {"name": "more", "ports": [
                    {"containerPort": 9090}, {"containerPort": 53, "protocol": "UDP"},
                ]},
            ]
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("port", "found"),
    [(8080, 21500), ("web", 21500), ("8080", 21500), (9090, 21501), (80, None), ("none", None)],
)
def test_a_declared_port_is_found_by_number_and_by_name(port, found):
    assert ports.local_port(pod(), port) == found


@pytest.mark.parametrize("text", ["", "no", "[]", '{"a": 1}', '{"1": null}'])
def test_an_annotation_that_says_nothing_maps_nothing(text):
    assert ports.mapping_of({"metadata": {"annotations": {ports.PORTS: text}}}) == {}


def test_only_tcp_ports_are_mapped():
    assert ports.declared(pod()) == [8080, 9090]


def test_each_pod_gets_ports_of_its_own():
    allocator = ports.Allocator(17)
    first, second = allocator.allocate({}, [8080, 9090]), allocator.allocate({}, [8080])
    assert len({*first.values(), *second.values()}) == 3


def test_a_port_that_somebody_listens_on_is_not_given_out():
    allocator = ports.Allocator(4000)
    with socket.socket() as listener:
        listener.bind((ports.LOOPBACK, 0))
        listener.listen()
        busy = listener.getsockname()[1]
        assert allocator.allocate({8080: busy}, [8080])[8080] != busy


def test_a_pod_keeps_its_ports_over_a_restart_of_the_server():
    before = ports.Allocator(99).allocate({}, [8080])
    assert ports.Allocator(5).allocate(before, [8080]) == before


def test_released_ports_can_be_taken_again():
    allocator = ports.Allocator()
    taken = allocator.allocate({}, [8080])
    allocator.release(taken)
    assert allocator.allocate(taken, [8080]) == taken
