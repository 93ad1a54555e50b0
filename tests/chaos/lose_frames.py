"""Send what goes to an address of this network into the void, or no longer: `lose_frames.py cut|fix ADDRESS`.

A fixed entry in the table of neighbours names a hardware address that nobody has. Needs CAP_NET_ADMIN.
"""

import fcntl
import socket
import struct
import sys
from pathlib import Path

SIOCSARP, SIOCDARP = 0x8955, 0x8953
ARPHRD_ETHER = 1
ATF_COMPLETE_PERMANENT = 0x02 | 0x04
NOBODY = bytes.fromhex("020000000001")


def device_towards(address: str) -> str:
    """Find the interface whose own network holds the address."""
    wanted = struct.unpack("=I", socket.inet_aton(address))[0]
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = int(fields[1], 16), int(fields[7], 16)
        if mask and wanted & mask == destination:
            return fields[0]
    raise SystemExit(f"no interface is on a network with {address}")


def main(action: str, address: str) -> None:
    """Set or remove the entry."""
    flags = ATF_COMPLETE_PERMANENT if action == "cut" else 0
    entry = struct.pack("=HH4s8s", socket.AF_INET, 0, socket.inet_aton(address), b"")
    entry += struct.pack("=H14si", ARPHRD_ETHER, NOBODY, flags)
    entry += struct.pack("=16s16s", b"", device_towards(address).encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSARP if action == "cut" else SIOCDARP, entry)


if __name__ == "__main__":
    main(*sys.argv[1:])
