#!/usr/bin/env python3
"""Starlink and a proxy for .ci/namespaces.sh: usage namespaces.py starlink ADDRESS PORT CERTIFICATE KEY | proxy ADDRESS PORT LOG"""

import http.server
import json
import socket
import ssl
import sys
import threading
import time

ROW = ["u", None, "ut01000000-00000000-00000001", 1.5]
COLUMNS = ["DeviceType", "UtcTimestampNs", "DeviceId", "DownlinkThroughput"]


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Starlink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/auth/connect/token"):
            self.answer({"access_token": "token", "expires_in": 900})
            return
        time.sleep(0.5)
        row = [ROW[0], time.time_ns(), *ROW[2:]]
        data = {"values": [row], "columnNamesByDeviceType": {"u": COLUMNS}}
        enums = {"DeviceType": {"u": "UserTerminal"}, "AlertsByDeviceType": {}}
        self.answer({"data": data, "metadata": {"enums": enums}})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve_starlink(address, port, certificate, key):
    class Server(http.server.ThreadingHTTPServer):
        address_family = family(address)

    server = Server((address, int(port)), Starlink)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # The handshake is done on the connection's thread.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def tunnel(client, log):
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            return
        head += data
    target = head.split(b" ")[1].decode()
    host, _, port = target.rpartition(":")
    with open(log, "a", encoding="ascii") as file:
        file.write(f"{target}\n")
    server = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    server.settimeout(None)
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)


def serve_proxy(address, port, log):
    with socket.socket(family(address), socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, int(port)))
        listener.listen()
        while True:
            client, _ = listener.accept()
            threading.Thread(target=tunnel, args=(client, log), daemon=True).start()


if sys.argv[1] == "starlink":
    serve_starlink(*sys.argv[2:])
else:
    serve_proxy(*sys.argv[2:])
