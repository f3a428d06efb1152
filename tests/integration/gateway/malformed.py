"""Bodies and requests that are wrong in ways clients, proxies and attackers have found."""

import json

from tests.integration.gateway.gateways import SMS

_GOOD = json.dumps(SMS).encode()

#: Sent as application/json to every route that takes a body.
BODIES: dict[str, bytes] = {
    "empty": b"",
    "a space": b" ",
    "null": b"null",
    "true": b"true",
    "a number": b"1e400",
    "a long number": b"9" * 5_000,
    "a string": b'"sms"',
    "an open string": b'"sms',
    "an array": b"[]",
    "an array of objects": b"[" + _GOOD + b"]",
    "an open object": b'{"channel":"sms"',
    "a trailing comma": _GOOD[:-1] + b",}",
    "two documents": _GOOD + _GOOD,
    "a tail": _GOOD + b"x",
    "a comment": b"/* sms */" + _GOOD,
    "single quotes": _GOOD.replace(b'"', b"'"),
    "a byte order mark": b"\xef\xbb\xbf" + _GOOD,
    "UTF-16": json.dumps(SMS).encode("utf-16"),
    "UTF-32": json.dumps(SMS).encode("utf-32"),
    "Latin-1": b'{"channel":"sms","recipient":"+15555550001","content":"\xe9"}',
    "an overlong encoding": b'{"channel":"sms","content":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"channel":"sms","content":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"channel":"sms","content":"\\ud800"}',
    "surrogates swapped": b'{"channel":"sms","content":"\\udc00\\ud800"}',
    "a raw NUL": b'{"channel":"sms","content":"\x00"}',
    "an escaped NUL": b'{"channel":"sms","content":"\\u0000"}',
    "a NUL in a key": b'{"\\u0000":1}',
    "a raw line break": b'{"channel":"sms","content":"a\nb"}',
    "an unknown escape": b'{"channel":"sms","content":"\\x41"}',
    "a cut escape": b'{"channel":"sms","content":"\\u00',
    "NaN": b'{"max_attempts":NaN}',
    "Infinity": b'{"max_attempts":-Infinity}',
    "a leading zero": b'{"max_attempts":03}',
    "a huge integer": b'{"max_attempts":' + b"9" * 400 + b"}",
    "a fraction": b'{"max_attempts":1.5}',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "deep and closed": b'{"metadata":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}",
    "a field twice": b'{"channel":"sms","channel":7}',
    "a field of every wrong type": b'{"channel":[],"recipient":{},"content":1,'
    b'"priority":true,"metadata":"x","scheduled_at":0,"template_id":[]}',
    "a prototype": b'{"__proto__":{"channel":"sms"},"constructor":{}}',
    "a form": b"channel=sms&recipient=%2B15555550001&content=hello",
    "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    "MessagePack": b"\x81\xa7channel\xa3sms",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "a batch of nothing": b'{"notifications":{}}',
    "a batch of numbers": b'{"notifications":[1,2,3]}',
    "a batch of nulls": b'{"notifications":[null]}',
    "a batch of batches": b'{"notifications":[{"notifications":[]}]}',
    "a batch too many": b'{"notifications":[' + b"{}," * 1_000 + b"{}]}",
    "a date that is none": b'{"channel":"sms","recipient":"+15555550001",'
    b'"content":"x","scheduled_at":"9999-99-99T99:99:99Z"}',
    "a date at the end of time": b'{"channel":"sms","recipient":"+15555550001",'
    b'"content":"x","scheduled_at":"9999-12-31T23:59:59-23:59"}',
    "a date before time": b'{"channel":"sms","recipient":"+15555550001",'
    b'"content":"x","expires_at":"0000-01-01T00:00:00Z"}',
}

_POST = b"POST /api/v1/notifications HTTP/1.1\r\n"
_JSON = b"Host: x\r\nContent-Type: application/json\r\n"

#: Sent on a connection of their own.
REQUESTS: dict[str, bytes] = {
    "noise": b"\x00\x01\x02\xff\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\0" * 32,
    "no version": b"GET /\r\n\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\n\r\n",
    "HTTP/3": b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    "no host": b"GET /healthz/live HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz/live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "a long line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "a path that is not ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of bad escapes": b"GET /%zz%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in an id": b"GET /api/v1/notifications/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path upwards": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute form": b"GET http://x/healthz/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    "a negative length": _POST + _JSON + b"Content-Length: -1\r\n\r\n",
    "a length that is no number": _POST + _JSON + b"Content-Length: two\r\n\r\n",
    "a length with a sign": _POST + _JSON + b"Content-Length: +2\r\n\r\n{}",
    "a length beyond all": _POST
    + _JSON
    + b"Content-Length: "
    + b"9" * 40
    + b"\r\n\r\n",
    "two lengths": _POST + _JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": _POST
    + _JSON
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown coding": _POST + _JSON + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a disguised coding": _POST + _JSON + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "a chunk of no size": _POST
    + _JSON
    + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": _POST
    + _JSON
    + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond all": _POST
    + _JSON
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 40
    + b"\r\n{}",
    "a chunk without its end": _POST
    + _JSON
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x0\r\n\r\n",
    "an expectation": _POST + _JSON + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}",
    "an upgrade to nothing": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
    b"Upgrade: nothing\r\n\r\n",
    "a WebSocket without a key": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n",
    "an old WebSocket": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 7\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "a cut HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM",
    "HTTP/2 and noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
}
