"""The decision point as gRPC services.

config              what an operator can set, and the address to listen on
tls                 what the decision listener encrypts with
listening           have a server listen, or say why it cannot
log                 one line per record, safe to grep, nothing secret
outlet              records on their way out, which hold up no answer
gate                which calls run: a bound on their number and on that of streams, and what is under way
asker               who asks, as far as gRPC tells
ids                 names of decisions
deciding            one decision with all that belongs to it: the directory before, the record after
service             DecisionService: bytes in, decision, bytes out
health              the standard health service, and its end
enforcement_service EnforcementService: what to send with a question, and the policy itself
reload              where a policy comes from, and as it changes
following           the active version in a store as such a source
callers             who the tokens stand for that requests bring
stored              the store as one process uses it
keeping             the decision log that the settings ask for
policy_service      PolicyService: versions and activations
directory_service   DirectoryService: entries in and out
calls               what those two and the one before do alike
admin               the listener of those two, and who may use it
transport           what carries the calls of the decision listener, and which of the two ways is taken
grpcio              all calls, with or without TLS
native              the front in Rust, with grpcio behind it
lane                the calls that the front answers: one thread, without the event loop
looping             the event loop that all this runs on
app                 all of these together, from the first policy to the last answer
workers             several such servers on one port, and the parent that keeps them to one policy
"""
