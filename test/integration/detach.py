"""Does to the kernel behind the agent's back what somebody with root could do: detaches a packet program, or removes an entry of a policy table."""

import ctypes
import os
import struct
import sys

BPF_MAP_LOOKUP_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY = 1, 3, 4
BPF_OBJ_GET, BPF_MAP_GET_FD_BY_ID, BPF_LINK_DETACH = 7, 14, 34
SYSCALL_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = libc.syscall(SYSCALL_BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def pinned(path: str) -> int:
    name = ctypes.create_string_buffer(path.encode())
    return bpf(BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, 0))


def remove_first(outer_path: str) -> None:
    """Of each table behind a map of maps, the first entry."""
    outer = pinned(outer_path)
    for slot in (0, 1):
        key = ctypes.create_string_buffer(struct.pack("I", slot), 4)
        value = ctypes.create_string_buffer(4)
        try:
            bpf(BPF_MAP_LOOKUP_ELEM, struct.pack("IIQQQ", outer, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
            inner = bpf(BPF_MAP_GET_FD_BY_ID, struct.pack("III", struct.unpack("I", value.raw[:4])[0], 0, 0))
            first = ctypes.create_string_buffer(64)
            bpf(BPF_MAP_GET_NEXT_KEY, struct.pack("IIQQQ", inner, 0, 0, ctypes.addressof(first), 0))
            bpf(BPF_MAP_DELETE_ELEM, struct.pack("IIQQQ", inner, 0, ctypes.addressof(first), 0, 0))
        except OSError as error:
            if error.errno != 2:
                raise


kind, path = sys.argv[1:3]
if kind == "detach":
    bpf(BPF_LINK_DETACH, struct.pack("I", pinned(path)))
else:
    remove_first(path)
