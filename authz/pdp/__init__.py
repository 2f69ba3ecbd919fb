"""Checked policy → program → decision, one step a module.

compiler  from a tool to the rules that have a say
applying  which blocks of the policy apply; patterns finds those that a name matches
plan      the rules that have a say together, as functions
tables    many of them asked at once; rows makes rows of them, loops what asks these
codegen   a condition → Python; runtime is what that Python calls
view      what one tenant sees: its tenant blocks, scopes and roles
program   one request → one decision, by the steps of steps and the search of scopes
unknown   conditions of which parts are not known yet
partial   the answer to a request with unknown parts
signature  what its denials depend on
nodes     what conditions are made of, and outline all of them
explain   how a decision came about
references  what it follows, for the directory to look up
reads    what a policy reads of the requests for a tool, and requests without the rest
engine    the program in force, and its replacement
"""
