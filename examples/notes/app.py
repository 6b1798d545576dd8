"""A web app with state: keeps notes in the directory of its volume, one file each.

    POST /        keep the body as a note, answer its number
    GET /         list the numbers
    GET /3        show a note
    DELETE /3     throw it away

The volume is mounted at $NOTES (in a container: /notes). Where pods are processes it is below a
directory of their own, which $UNDERSTUDY_MOUNT_NOTES names.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(os.environ.get("UNDERSTUDY_MOUNT_NOTES") or os.environ.get("NOTES", "/notes"))
BODY_BYTES_MAX = 64 * 1024


class Notes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= BODY_BYTES_MAX:
            self.close_connection = True
            self.answer(413, {"error": f"a note has 1 to {BODY_BYTES_MAX} bytes"})
            return
        body = self.rfile.read(length)
        number = max(numbers(), default=0) + 1
        while True:
            try:
                with (FOLDER / str(number)).open("xb") as file:
                    file.write(body)
                    break
            except FileExistsError:  # another replica or thread was faster
                number += 1
        self.answer(201, {"note": number})

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if not name:
            self.answer(200, {"notes": numbers()})
        elif name.isdigit() and (FOLDER / name).is_file():
            self.answer(200, {"note": int(name), "text": (FOLDER / name).read_text("utf-8")})
        else:
            self.answer(404, {"error": f"there is no note {name!r}"})

    def do_DELETE(self) -> None:
        name = self.path.strip("/")
        if name.isdigit() and (FOLDER / name).is_file():
            (FOLDER / name).unlink(missing_ok=True)
        self.answer(200, {"notes": numbers()})

    def answer(self, code: int, found: object) -> None:
        body = json.dumps(found).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that may wait to be accepted


def numbers() -> list[int]:
    """Return the numbers of the notes that are kept."""
    return sorted(int(path.name) for path in FOLDER.iterdir() if path.name.isdigit())


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Notes).serve_forever()


if __name__ == "__main__":
    main()
