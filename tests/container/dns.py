"""A name server on 127.0.0.1:53 that knows one name: `dns.py NAME` answers 127.0.0.1 for it."""

import socket
import struct
import sys

KNOWN = b"".join(bytes([len(part)]) + part for part in sys.argv[1].encode().split(b".")) + b"\0"
TYPE_A = 1
RESPONSE, NOT_FOUND = 0x8180, 0x8183

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 1
    name, question = query[12:end], query[12 : end + 4]
    kind = struct.unpack("!H", query[end : end + 2])[0]
    known = name.lower() == KNOWN
    answer = b""
    if known and kind == TYPE_A:
        # The name is a pointer to the question's.
        answer = b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, 60, 4) + bytes([127, 0, 0, 1])
    flags = RESPONSE if known else NOT_FOUND
    header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if answer else 0, 0, 0)
    server.sendto(header + question + answer, client)
