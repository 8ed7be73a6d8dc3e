import io
import struct
import unittest

import fastcgi
import status_page

PAGE = b'{"pool":"www","accepted conn":9,"listen queue":1,"idle processes":2,"active processes":1,"slow requests":5}'


def record(kind, content=b"", padding=0):
    return fastcgi.HEADER.pack(1, kind, 1, len(content), padding) + content + bytes(padding)


def answer(*records):
    return fastcgi.response(io.BytesIO(b"".join(records)).read)


class StatusPage(unittest.TestCase):
    def test_known_numbers_are_reported(self):
        expected = {"listen_queue": 1, "idle_processes": 2, "active_processes": 1, "slow_requests": 5}
        expected["slow_requests_delta"] = 5
        self.assertEqual(status_page.parse(PAGE), expected)

    def test_other_pages_are_errors(self):
        cases = {
            b"pool:                 www\n": "not the JSON of PHP-FPM's status page: add ?json to --path",
            b"<html>": "not the JSON of PHP-FPM's status page: '<html>'",
            b"": "not the JSON of PHP-FPM's status page: ''",
            b"[]": "not the JSON of PHP-FPM's status page: '[]'",
            b'{"pool":"www","slow requests":"3"}': "a JSON object without any field of PHP-FPM's status page",
        }
        for body, message in cases.items():
            with self.subTest(body), self.assertRaises(ValueError) as raised:
                status_page.parse(body)
            self.assertEqual(str(raised.exception), message)


class FastCgi(unittest.TestCase):
    def test_request_has_the_path_and_its_query(self):
        request = fastcgi.request("/status?json")
        for part in [b"\x0b\x07SCRIPT_NAME/status", b"\x0c\x04QUERY_STRINGjson", b"\x0e\x03REQUEST_METHODGET"]:
            self.assertIn(part, request)
        self.assertTrue(request.endswith(record(fastcgi.PARAMS) + record(fastcgi.STDIN)))

    def test_long_values_have_long_lengths(self):
        path = "/" + "a" * 200
        self.assertIn(b"\x0b" + struct.pack(">I", 201 | 1 << 31) + b"SCRIPT_NAME" + path.encode(), fastcgi.request(path))

    def test_body_is_joined_without_padding_and_stderr(self):
        parts = [
            record(fastcgi.STDOUT, b"Content-type: application/json\r\n\r\n{", padding=3),
            record(fastcgi.STDERR, b"PHP message"),
            record(fastcgi.STDOUT, b"}"),
            record(fastcgi.STDOUT),
            record(fastcgi.END_REQUEST, bytes(8)),
        ]
        self.assertEqual(answer(*parts), (200, b"{}"))

    def test_status_is_that_of_the_header(self):
        page = record(fastcgi.STDOUT, b"Status: 404 Not Found\r\nX: y\r\n\r\nFile not found.\n")
        self.assertEqual(answer(page, record(fastcgi.END_REQUEST, bytes(8))), (404, b"File not found.\n"))

    def test_other_servers_are_errors(self):
        end = record(fastcgi.END_REQUEST, bytes(8))
        for data, error in [
            (b"", EOFError),
            (record(fastcgi.STDOUT, b"a\r\n\r\n")[:-2], EOFError),
            (record(fastcgi.STDOUT, b"a\r\n\r\n"), EOFError),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", ValueError),
            (end, ValueError),
            (record(fastcgi.STDOUT, b"Status: no\r\n\r\n") + end, ValueError),
            (record(fastcgi.STDOUT, b"\r\n\r\n" + bytes(60000)) * 100, ValueError),
        ]:
            with self.subTest(data[:20]), self.assertRaises(error):
                answer(data)
