"""A web server that misbehaves as the name asked for says, for the specs of examples/httpfs.lua.

Prints its port. good: 1,000,000 bytes, byte i is i*7 % 251. Of the same length: hang (never answers a GET),
hanghead (never answers anything), dies (breaks off in mid-body), garbage (no HTTP), flaky (breaks off each range the
first time), wrong (another range than asked for), error (status 500). A GET of /count tells how many connections and
requests there were.
"""
import http.server
import socketserver
import time

SIZE = 1000000
DATA = bytes(i * 7 % 251 for i in range(SIZE))
broken_off = set()  # ranges of flaky that were
seen = {"connections": 0, "requests": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        seen["connections"] += 1

    def log_message(self, *_):
        pass

    def head(self, status, length, extra=()):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in extra:
            self.send_header(name, value)
        self.end_headers()

    def do_HEAD(self):
        name = self.path.rsplit("/", 1)[-1]
        if name == "hanghead":
            time.sleep(3600)
        known = name in ("good", "hang", "dies", "garbage", "flaky", "wrong", "error")
        self.head(200 if known else 404, SIZE if known else 0)

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        if name == "count":
            text = "%(connections)d %(requests)d" % seen
            self.head(200, len(text))
            self.wfile.write(text.encode())
            return
        seen["requests"] += 1
        if name == "hang":
            time.sleep(3600)
        if name == "garbage":
            self.wfile.write(b"\0\1\2 this is no HTTP \r\n\r\n" * 100)
            self.close_connection = True
            return
        if name == "error":
            self.head(500, 0)
            return
        first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        body = DATA[first:last + 1]
        if name == "wrong":
            first += 1
        self.head(206, len(body), [("Content-Range", f"bytes {first}-{last}/{SIZE}")])
        if name == "dies" or (name == "flaky" and first not in broken_off):
            broken_off.add(first)
            body = body[:len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
