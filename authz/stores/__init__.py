"""What policies, directory and decision log are kept in: the one layer that knows SQL.

sqlite   one file, embedded (the default)
redis    what replicas share of tokens: revocations, and what was validated
"""
