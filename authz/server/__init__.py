"""The decision point as a gRPC service.

config      what an operator can set, and the address to listen on
log         one line per record, safe to grep, nothing secret
outlet      records on their way out, which hold up no answer
gate        which calls run: a bound on their number and on that of streams, and what is under way
service     DecisionService: bytes in, decision, bytes out
health      the standard health service, and its end
reload      the policy directory as it changes
app         all of these together, from the first policy to the last answer
"""
