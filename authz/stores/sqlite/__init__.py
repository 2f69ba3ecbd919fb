"""One SQLite file that holds policies and their history, the directory and the decision log.

database     open it, refuse what is not ours, one writer at a time
migrations   the versions of its schema
log          the chain of records; acts append to it in their own transaction
policies     versions and activations
directory    entities and role bindings
store        all of these together
"""
