"""What the service keeps of what it answered: records that nobody can change unnoticed.

chain      records joined by hashes, and the Merkle tree over them
signing    the key that signs how far the log has come
store      what a log is kept in: a Protocol
"""
