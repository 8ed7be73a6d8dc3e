"""A collector for mackerel-plugin-wasm that reads the status page of PHP-FPM, with the metric names of
mackerel-plugin-php-fpm.

`componentize-py` looks for the class Metrics in this file. All imports must be at the top, because the component has no
files to import from at run time.
"""

import encodings.idna  # noqa: F401, sockets import it at run time
import socket

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http
from wit_world.imports.types import (
    CollectError_Http,
    CollectError_Other,
    CollectError_Status,
    CollectError_Unexpected,
    Description,
    Graph,
    Metric,
    MetricKind_Counter,
    MetricKind_Gauge,
    OptionKind_Flag,
    OptionKind_Text,
    OptionSpec,
    Period,
    Report,
    Sample,
    Scope,
    Unit,
)

import fastcgi
import status_page

GAUGE, PER_MINUTE = MetricKind_Gauge(), MetricKind_Counter(Period.MINUTE)

# The graphs of mackerel-plugin-php-fpm: key, label, unit, and names, labels and kinds of the metrics.
GRAPHS = [
    (
        "#.processes",
        "Processes",
        Unit.INTEGER,
        [
            ("total_processes", "Total Processes", GAUGE),
            ("active_processes", "Active Processes", GAUGE),
            ("idle_processes", "Idle Processes", GAUGE),
        ],
    ),
    (
        "#.max_active_processes",
        "Max Active Processes",
        Unit.INTEGER,
        [("max_active_processes", "Max Active Processes", GAUGE)],
    ),
    (
        "#.max_children_reached",
        "Max Children Reached",
        Unit.INTEGER,
        [("max_children_reached", "Max Children Reached", GAUGE)],
    ),
    (
        "#.queue",
        "Queue",
        Unit.INTEGER,
        [("listen_queue", "Listen Queue", GAUGE), ("listen_queue_len", "Listen Queue Len", GAUGE)],
    ),
    ("#.max_listen_queue", "Max Listen Queue", Unit.INTEGER, [("max_listen_queue", "Max Listen Queue", GAUGE)]),
    (
        "#.slow_requests",
        "Slow Requests",
        Unit.INTEGER,
        [
            ("slow_requests", "Slow Requests Counter", GAUGE),
            ("slow_requests_delta", "Slow Requests Delta", PER_MINUTE),
        ],
    ),
    ("#.memory_peak", "Memory Peak", Unit.BYTES, [("memory_peak", "Memory Peak", GAUGE)]),
]


def value(options, name):
    return next((option.value for option in options if option.name == name), None)


class Metrics(exports.Metrics):
    def describe(self):
        return Description(
            name="php-fpm",
            version="0.1.0",
            summary="Processes, queue and slow requests of PHP-FPM, from its status page",
            scope=Scope.ENDPOINT,
            options=[
                OptionSpec("path", "The path of the status page, as JSON", OptionKind_Text(), "/status?json"),
                OptionSpec("fastcgi", "Speak FastCGI, as PHP-FPM itself does, not HTTP", OptionKind_Flag(), None),
            ],
        )

    def graphs(self, options):
        path = value(options, "path")
        if not path.startswith("/"):
            raise Err(f"--path '{path}' does not begin with '/'")
        return [
            Graph(key, label, unit, [Metric(name, legend, False, kind) for name, legend, kind in metrics])
            for key, label, unit, metrics in GRAPHS
        ]

    def collect(self, target, options):
        path = value(options, "path")
        status, body = by_fastcgi(target.endpoint, path) if value(options, "fastcgi") else by_http(path)
        if status != 200:
            raise Err(CollectError_Status(status))
        try:
            numbers = status_page.parse(body)
        except ValueError as error:
            raise Err(CollectError_Unexpected(str(error)))
        names = [(key, name) for key, _, _, metrics in GRAPHS for name, _, _ in metrics]
        return Report([Sample(key, name, numbers[name]) for key, name in names if name in numbers], None)


def by_http(path):
    try:
        response = http.get(http.Request(http.Scheme.HTTP, path, []))
    except Err as error:
        raise Err(CollectError_Http(error.value))
    return response.status, response.body


def by_fastcgi(endpoint, path):
    try:
        connection = socket.create_connection((endpoint.host, endpoint.port))
    except OSError as error:
        raise Err(CollectError_Other(f"connection failed: {error.strerror}"))
    with connection:
        try:
            connection.sendall(fastcgi.request(path))
            return fastcgi.response(connection.recv)
        except OSError as error:
            raise Err(CollectError_Other(f"incomplete response: {error.strerror}"))
        except EOFError:
            raise Err(CollectError_Other("incomplete response: connection closed before its end"))
        except ValueError as error:
            raise Err(CollectError_Unexpected(str(error)))
