"""Translate between the model and `authz.v1` messages, and from errors to gRPC statuses.

This is the only place that does.

parts      what messages are made of, read and written
doubles    a name or a field that is given twice, found in the bytes
requests   bytes → requests
answers    decision, explanation → message
errors     error → gRPC status, or one item among answers
enforcement  what enforcement points ask beside decisions, both sides
client     the other side: question → message, message → decision
questions  as an enforcement point asks: no more of a request than the policy reads
strict     as it reads answers: what is not clearly an answer is none
"""

from authz.wire.answers import fill_response, response
from authz.wire.client import check_request, decision_from, explanation_from
from authz.wire.errors import error_item, status
from authz.wire.requests import MAX_QUESTIONS, BatchCall, read_batch_check, read_check, read_stream_check

__all__ = [
    "MAX_QUESTIONS",
    "BatchCall",
    "check_request",
    "decision_from",
    "error_item",
    "explanation_from",
    "fill_response",
    "read_batch_check",
    "read_check",
    "read_stream_check",
    "response",
    "status",
]
