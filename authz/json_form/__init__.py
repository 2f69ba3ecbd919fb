"""Read and write the JSON form of `authz.v1.CheckRequest` and `CheckResponse`.

The form is proto3 JSON, done by hand so that a dry run starts without protobuf. It is stricter
than protobuf's own reader where that one guesses: a number is never read as a string or the
reverse, and a name that occurs twice is refused wherever it stands (L60).

text       JSON text → values, within bounds
requests   values → a request, and what its asker wants beside the decision
recorded   a request → values, so that it can be decided again, and back
answers    decision, explanation → values
"""

from authz.json_form.answers import abridged, decision_to_json, explanation_to_json
from authz.json_form.recorded import recorded_to_json, request_from_recorded, request_to_json
from authz.json_form.requests import (
    Call,
    anonymous_until_known,
    call_from_json,
    call_of,
    checked_request_id,
    refuse_unsupported,
    request_from_json,
)
from authz.json_form.text import MAX_EXACT, MAX_JSON_DEPTH, WHOLE, as_number, read_json, shown

__all__ = [
    "MAX_EXACT",
    "MAX_JSON_DEPTH",
    "WHOLE",
    "Call",
    "abridged",
    "anonymous_until_known",
    "as_number",
    "call_from_json",
    "call_of",
    "checked_request_id",
    "decision_to_json",
    "explanation_to_json",
    "read_json",
    "recorded_to_json",
    "refuse_unsupported",
    "request_from_json",
    "request_from_recorded",
    "request_to_json",
    "shown",
]
