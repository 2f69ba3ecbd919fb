"""Checked policy → program → decision, one step a module.

compiler  the index from a tool to the blocks that apply
plan      the rules that have a say together, as functions
codegen   a condition → Python; runtime is what that Python calls
view      what one tenant sees: its tenant blocks, scopes and roles
program   one request → one decision, by the steps of steps and the search of scopes
explain   how a decision came about
references  what it follows, for the directory to look up
engine    the program in force, and its replacement
"""
