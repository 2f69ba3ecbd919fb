"""Measure authz beside its peers. `python -m scripts.benchmarks` is what `scripts/bench` runs.

measuring     what a measure, a skipped one and a group's way to yield them are
machine       versions, cores, and which program runs on which core
peers         the other engines and servers, installed into an environment of their own
workloads     the policies and questions that every engine is given, with the right answers
engines/      one engine a module, each in a process of its own
cerbos        the policies, settings and messages of the server beside which ours is measured
servers       both servers as processes
h2load        one question again and again, by a load generator in C
batches       many questions in a message, by a client of our own
decisions     P1, P2      serving  P3, P5, P9      batching  P4, P10      starting  P7, P8
mcp, mcp_world            P6, and what a guarded call costs
store, tokens             what the decision log, the directory and tokens cost
report        the table for people, JSON for machines
plots, page   docs/performance.md from a report

Figures compare within one run only, and no test ever asserts one.
"""
