"""Rules for a run of the tests and every Python program that it starts: put this folder into PYTHONPATH.

``BLURCORE_GUARD=network``: reaching any other machine is an error. ``BLURCORE_GUARD=warnings``: a warning that our own code
raises is an error in the programs that tests start, as it is in pytest, encodings that depend on the machine included.
``BLURCORE_GUARD=types``: values are of their annotated types (`checked_types`).
"""

import os
import sys
import warnings

LOCAL = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", os.uname().nodename)


def refuse_the_network(event, arguments):
    """Raise where a socket asks for another machine: names are looked up, datagrams sent, connections made."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""  # Unix sockets have a path
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in LOCAL and not host.startswith("127."):
        raise RuntimeError(f"the tests must not reach another machine, and {event} asks for {host!r}")


guard = os.environ.get("BLURCORE_GUARD")
if guard == "network":
    sys.addaudithook(refuse_the_network)
elif guard == "warnings":
    # warnings of other packages would appear in the output of commands
    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", module=r"blurcore(_torch|_jax|_reference)?(\.|$)")
elif guard == "types":
    import checked_types

    checked_types.install()
