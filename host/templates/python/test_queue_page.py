import unittest

from queue_page import parse


class QueuePage(unittest.TestCase):
    def test_numbers_are_reported(self):
        self.assertEqual(parse(b'{"queue": {"waiting": 3, "done": 120}}'), {"waiting": 3, "done": 120})

    def test_missing_numbers_are_omitted(self):
        self.assertEqual(parse(b'{"queue": {"done": 0}}'), {"done": 0})

    def test_other_responses_are_errors(self):
        for body in [b"", b"<html>", b"[]", b"{}", b'{"queue": 3}', b'{"queue": {"waiting": "3"}}']:
            with self.subTest(body), self.assertRaisesRegex(ValueError, 'no JSON with numbers in "queue"'):
                parse(body)
