"""A way to the S3 server that can be made to misbehave."""

import http.client
import http.server
import threading
import urllib.parse

DENIED = (b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code>'
          b"<Message>The bucket is read-only.</Message></Error>")
# Said anew for each hop.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class StoreProxy:
    """Hands requests on as they are, signatures included.

    `read_only`: writes are refused; `ignores_conditions`: what must not be there yet is overwritten.
    """

    def __init__(self, store):
        self.store, self.read_only, self.ignores_conditions, self.refused = store, False, False, 0
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer in two small packets would wait for the first one's acknowledgement.
            disable_nagle_algorithm = True
            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = lambda self: proxy._answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self, **more):
        return self.store.environment(AWS_ENDPOINT_URL_S3=self.url, **more)

    def _answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if self.read_only and request.command in ("PUT", "POST", "DELETE"):
            self.refused += 1
            return self._send(request, 403, [("Content-Type", "application/xml")], DENIED)
        if self.ignores_conditions and request.command == "PUT" and "If-None-Match" in request.headers:
            return self._overwrite(request, body)
        store = http.client.HTTPConnection("127.0.0.1", self.store.port, timeout=120)
        try:
            store.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                store.putheader(name, value)
            store.endheaders(body)
            answer = store.getresponse()
            content = answer.read()
        except OSError:
            request.close_connection = True
            return
        finally:
            store.close()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
        if request.command == "HEAD":
            headers.append(("Content-Length", answer.getheader("Content-Length", "0")))
        self._send(request, answer.status, headers, content)

    def _overwrite(self, request, body):
        """The headers are signed: the condition can only be left out by writing in one's own name."""
        _, bucket, key = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path).split("/", 2)
        tag = self.store.client.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]
        self._send(request, 200, [("ETag", tag)], b"")

    @staticmethod
    def _send(request, status, headers, content):
        request.send_response_only(status)
        for name, value in headers:
            request.send_header(name, value)
        if request.command != "HEAD":
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
