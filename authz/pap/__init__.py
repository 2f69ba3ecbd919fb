"""Policies on disk → policy set, and what their owners do with it before it is served.

walk       a directory → the files of a policy; decoding turns their bytes into text
loader     a directory → a program; manifest checks its files against authz.sum, collector saves time
scenario   a test file → requests and expectations; clauses reads the parts of a caller
testing    runs them; coverage counts what they reached; report and junit show it
history    versions and activations, and what keeps them: a Protocol
versions   files → a version; put it, activate it, roll back
catalogue  a server's tools: held against a policy, and a first policy made of them
"""
