"""Passes one port on to another and keeps what clients send: relay.py LISTEN TO FILE"""

import socket
import sys
import threading

listen, to, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def carry(source, target, file):
    while data := source.recv(65536):
        if file:
            file.write(data)
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


server = socket.create_server(("", listen))
while True:
    client, _ = server.accept()
    arbiter = socket.create_connection(("127.0.0.1", to))
    file = open(path, "ab", buffering=0)
    threading.Thread(target=carry, args=(client, arbiter, file), daemon=True).start()
    threading.Thread(target=carry, args=(arbiter, client, None), daemon=True).start()
