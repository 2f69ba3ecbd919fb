"""Policies on disk → policy set, and what their owners do with it before it is served.

loader     a directory → a program; manifest checks its files against authz.sum
scenario   a test file → requests and expectations; clauses reads the parts of a caller
testing    runs them; coverage counts what they reached; report and junit show it
"""
