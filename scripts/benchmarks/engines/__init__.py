"""One engine a module, each in a process of its own, with the Python that has it installed.

A module has `w2()` and `w3(kind, rules)`, each of which returns an `Engine`; `worker` runs in the process and times,
`asking` starts it and says what to do.
"""
