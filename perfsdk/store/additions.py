"""What a series gets when it first needs it: described once, also when two make it at a time."""

from perfsdk.store.format import pack_record
from perfsdk.store.segment import Segment, SegmentFullError

Known = dict[int, int]
"""What a series has of one kind: the first cell of each, by its number."""


def add_cells(segment: Segment, key: tuple[str, int, int], count: int, known: Known) -> int:
    """Cells for what `key` names: kind, cell of the series, number. One made meanwhile is taken.

    Raises:
        SegmentFullError: there is no room.
    """
    number = key[2]
    try:
        segment.make_room(len(pack_record([*key, 1 << 40])))
        # What is as long as a line of the processor's cache lies in one.
        cell = known.get(number) or segment.allocate_cells(count, align=8 if count == 8 else 1)
        # Re-entered meanwhile, it may be there: a second one would hide it.
        if number not in known and known.setdefault(number, cell) == cell:
            segment.append_record(pack_record([*key, cell]))
    except SegmentFullError:
        known.pop(number, None)
        raise
    return known[number]
