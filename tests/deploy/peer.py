"""The world outside, for the deployment test, in a container of its own: files behind links, a receiver of webhooks."""

import json
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

PORT = 8001
RECEIVED: list[dict[str, object]] = []


class Peer(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, directory="/peer/media", **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path != "/received":
            return super().do_GET()
        body = json.dumps(RECEIVED).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        RECEIVED.append({"headers": dict(self.headers), "body": body.decode()})
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Peer).serve_forever()
