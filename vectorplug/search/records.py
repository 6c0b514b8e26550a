"""The records that protobuf messages are made of, for stores that write vectors into a message as bytes."""

__all__ = ["record_start"]

# Content that is preceded by its length: bytes, strings, messages, packed numbers.
LENGTH_DELIMITED = 2


def record_start(field: int, size: int) -> bytes:
    """What stands before `size` bytes of a field: its number with its wire type, and the size.

    Source: protobuf.dev, "Encoding", section "Length-Delimited Records".
    """
    return _varint(field << 3 | LENGTH_DELIMITED) + _varint(size)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
