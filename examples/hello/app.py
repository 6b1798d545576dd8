"""A web app: greets whoever asks, with the standard library alone.

Listens on $PORT (8080 unless set), as Knative asks of its containers.
"""

import html
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = os.environ.get("GREETING", "Hello")


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Greet by any path, a browser with a page; /healthz says that all is well."""
        name = self.path.strip("/") or "world"
        text = "ok" if self.path == "/healthz" else f"{GREETING}, {name}!"
        if "text/html" in self.headers.get("Accept", ""):
            self.answer(
                "text/html; charset=utf-8", f"<title>hello</title><h1>{html.escape(text)}</h1>"
            )
        else:
            found = {"message": text, "process": os.getpid()}
            self.answer("application/json", json.dumps(found))

    def answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        print(format % values, flush=True)


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that may wait to be accepted


def main() -> None:
    """Serve until SIGTERM."""
    port = int(os.environ.get("PORT", "8080"))
    server = Server(("0.0.0.0", port), Greeter)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"{GREETING} listens on port {port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
