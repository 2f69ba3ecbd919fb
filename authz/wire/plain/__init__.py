"""Read questions that are spelled plainly, in one pass over their bytes, checked as L60 demands on the way.

Plain is what protobuf libraries write: fields in the order of their numbers, each once, nothing unknown among
them. Plain are identifiers of printable ASCII, shorter than 128 characters, in a question of at most `SMALL` bytes.
For whatever else there is, `read_*` return None, and the careful reader (`authz.wire.requests`) has to look, which
alone words errors: nothing is refused here, and nothing is taken that is refused there.

It takes a quarter of the careful reader's time, which has protobuf make an object of each part, and looks at most
things twice. A part's length is trusted until its end is reached, and then compared with where reading has ended.

values     texts, names, objects, lists
fields     the fields of a question, from the least number to the largest
messages   bytes → a question, or a batch of them
"""

from authz.wire.plain.messages import SMALL, Batch, read_batch, read_check, read_stream_check, requests_by

__all__ = ["SMALL", "Batch", "read_batch", "read_check", "read_stream_check", "requests_by"]
