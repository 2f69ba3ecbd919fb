"""A Redis or Valkey that replicas share: what was revoked, and, where it is wanted, validated tokens.

connection   the client: encrypted, bounded in time, its own failures
revocations  what no longer counts; where that cannot be known, nothing is let in
cache        validated tokens, sealed; where they cannot be had, tokens are validated again
shared       all of these, as the configuration of tokens says
"""
