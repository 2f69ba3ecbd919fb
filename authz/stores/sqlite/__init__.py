"""One SQLite file that holds policies and their history, the directory and the decision log.

files        the file and what lies beside it: who may have it, how it is put there
failures     the errors of SQLite as ours
database     open it, refuse what is not ours, one writer at a time
migrations   the versions of its schema
log          the chain of records; acts append to it in their own transaction
search       what a query of the log asks, as SQL with parameters
pseudonyms   their keys, which can be forgotten
policies     versions and activations
directory    entities and role bindings
store        all of these together
upkeep       check, copy and restore the file
"""
