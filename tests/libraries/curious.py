"""What Python's own socket and urllib reach from within a sandbox. Tells both in one error, for a test to read."""

import encodings.idna  # wanted as soon as a name is looked up
import json
import socket
import urllib.request

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import CollectError_Other, Description, Scope

HOSTS = ["127.0.0.1", "127.0.0.2", "127.1", "0x7f000001", "localhost", "0.0.0.0", "::1", "::ffff:127.0.0.1"]


def by_socket(host, port):
    socket.create_connection((host, port), timeout=1).close()


def by_urllib(host, port):
    name = f"[{host}]" if ":" in host else host
    urllib.request.urlopen(f"http://{name}:{port}/", timeout=1).close()


def by_redirect(host, port):
    urllib.request.urlopen(f"http://{host}:{port}/redirect", timeout=1).close()


def by_datagram(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"curious", (host, port))


class Metrics(exports.Metrics):
    def describe(self):
        return Description(name="curious", version="1", summary="Looks around", scope=Scope.ENDPOINT, options=[])

    def graphs(self, options):
        return []

    def collect(self, target, options):
        host, own = target.endpoint.host, target.endpoint.port
        with urllib.request.urlopen(f"http://{host}:{own}/stats") as answer:
            other = json.load(answer)["other"]
        reached, refused = [], 0
        for way in (by_socket, by_urllib, by_redirect, by_datagram):
            for host in HOSTS:
                for port in (own, other):
                    try:
                        way(host, port)
                        reached.append(f"{way.__name__} {host}:{port}")
                    except OSError:
                        refused += 1
        raise Err(CollectError_Other(f"{refused} refused, reached {', '.join(reached)}"))
