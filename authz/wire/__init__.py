"""Translate between the model and `authz.v1` messages, and from errors to gRPC statuses.

This is the only place that does.

parts      what messages are made of, read and written
doubles    a name or a field that is given twice, found in the bytes
plain      bytes → requests, where they are spelled as libraries spell them
requests   bytes → requests, whatever they are
answers    decision, explanation → message, and its bytes
errors     error → gRPC status, or one item among answers
enforcement  what enforcement points ask beside decisions, both sides
policies   versions and activations, both sides
directory  entries ↔ messages of DirectoryService
client     the other side: question → message, message → decision
questions  as an enforcement point asks: no more of a request than the policy reads
strict     as it reads answers: what is not clearly an answer is none
"""

from authz.wire.answers import (
    batch_answer,
    batch_error,
    batch_result,
    check_answer,
    response,
    stream_answer,
    stream_error,
)
from authz.wire.client import check_request, decision_from, explanation_from
from authz.wire.errors import error_item, status
from authz.wire.requests import MAX_QUESTIONS, BatchCall, read_batch_check, read_check, read_stream_check

__all__ = [
    "MAX_QUESTIONS",
    "BatchCall",
    "batch_answer",
    "batch_error",
    "batch_result",
    "check_answer",
    "check_request",
    "decision_from",
    "error_item",
    "explanation_from",
    "read_batch_check",
    "read_check",
    "read_stream_check",
    "response",
    "status",
    "stream_answer",
    "stream_error",
]
