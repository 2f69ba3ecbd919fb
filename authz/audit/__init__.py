"""What the service keeps of what it answered: records that nobody can change unnoticed.

records    one decision, or one act, as one line
canonical  a question as its digest is taken of
writer     the thread that writes records, batch by batch; appending to a log, to sinks beside it, bell for what fails
chain      records joined by hashes, and the Merkle tree over them
signing    the key that signs how far the log has come
store      what a log is kept in: Protocols
verify     find what was done to a log, and name the first bad record
witness    heads that somebody else keeps, against a log put back to an older state
segments   what was retired from a log, in files
retention  let old records go, so that the rest verifies
pseudonyms names that a person has until they are erased
query      what one may ask a log for
stats      a log summed up
"""
