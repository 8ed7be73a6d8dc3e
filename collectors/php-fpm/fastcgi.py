"""A FastCGI client for one GET request, and no more. It needs no sandbox, so `python3 -m unittest` can test it."""

import struct

VERSION = 1
BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER = 1
HEADER = struct.Struct(">BBHHBx")

# The largest response. A status page has 500 bytes; with ?full, as many for every process.
LIMIT = 4 << 20


def request(path: str) -> bytes:
    """Encodes a GET request for a path with an optional query."""
    script, _, query = path.partition("?")
    params = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "SCRIPT_NAME": script,
        "SCRIPT_FILENAME": script,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    pairs = b"".join(_pair(name.encode(), value.encode()) for name, value in params.items())
    begin = struct.pack(">HB5x", RESPONDER, 0)
    records = [(BEGIN_REQUEST, begin), (PARAMS, pairs), (PARAMS, b""), (STDIN, b"")]
    return b"".join(HEADER.pack(VERSION, kind, 1, len(content), 0) + content for kind, content in records)


def _pair(name: bytes, value: bytes) -> bytes:
    def length(of):
        return bytes([len(of)]) if len(of) < 128 else struct.pack(">I", len(of) | 1 << 31)

    return length(name) + length(value) + name + value


def response(receive) -> tuple[int, bytes]:
    """Reads a response by `receive(size)`, as of a socket. Returns the HTTP status and the body.

    Raises EOFError if the connection is closed before its end, and ValueError if it is not a FastCGI response.
    """
    stdout = b""
    while True:
        version, kind, _, length, padding = HEADER.unpack(_exactly(receive, HEADER.size))
        if version != VERSION:
            raise ValueError("not a FastCGI server")
        content = _exactly(receive, length + padding)[:length]
        if kind == STDOUT:
            stdout += content
        if len(stdout) > LIMIT:
            raise ValueError(f"response exceeds {LIMIT} bytes")
        if kind == END_REQUEST:
            return _http(stdout)


def _exactly(receive, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = receive(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _http(stdout: bytes) -> tuple[int, bytes]:
    head, separator, body = stdout.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("a FastCGI response without a header")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            code = value.split()[:1]
            if not code or not code[0].isdigit() or len(code[0]) != 3:
                raise ValueError("a FastCGI response without a valid status")
            return int(code[0]), body
    return 200, body
