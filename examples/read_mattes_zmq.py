"""Reads mattes over ZeroMQ with no PromptMatte: python read_mattes_zmq.py [ADDRESS [COUNT]]."""

import sys

import msgpack
import numpy as np
import zmq

address, count = (*sys.argv[1:], *("tcp://127.0.0.1:5571", "100")[len(sys.argv) - 1 :])
with zmq.Context() as context, context.socket(zmq.SUB) as mattes:
    mattes.subscribe(b"matte")
    mattes.connect(address.removeprefix("zmq:"))
    read, serial = 0, None
    while read < int(count):
        if not mattes.poll(3000):
            sys.exit(f"expected mattes at {address}; got none: is the server running?")
        _, header, pixels, *_fill = mattes.recv_multipart()
        matte = msgpack.unpackb(header)
        if matte["serial"] == serial:  # the last one again, for readers that came late
            continue
        read, serial = read + 1, matte["serial"]
        alpha = np.frombuffer(pixels, np.uint8).reshape(matte["height"], matte["width"], -1)
        print(
            f"{alpha.shape[1]}x{alpha.shape[0]}x{alpha.shape[2]} seq {matte['seq']} "
            f"age {matte['age_ms']:.0f} ms confidence {[round(c, 2) for c in matte['confidence']]}"
        )
