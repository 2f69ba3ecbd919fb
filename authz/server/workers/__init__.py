"""Several processes that answer on one port, and one that looks after them and answers nothing itself.

- `port`: reserve the port, so that it is this service's alone
- `messages`: what the parent and its workers say to each other
- `channel`: the pipe between them
- `worker`: one server, which listens, loads and ends when it is told to
- `crew`: start the processes, hear them, and start those again that end
- `agreement`: have all load the policy, and let it decide only where all have the same
- `supervisor`: from the first worker to the last, with signals, the watch on the policy, and the witness

The first worker finds out whether the settings can be used, before there is another: what is wrong is
said once, with the exit code that one process has. A worker has no way to a revision of its own: it
listens only when the parent has compared what it loaded with what the others decide by, and decides by
another only when the parent says so.
"""
