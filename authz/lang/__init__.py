"""Policy text → checked policy, one step a module.

source       text and the places in it
lexer        text → tokens
parser       tokens → tree, by the tables that Lark makes of grammar.lark: machine follows them,
             builder makes the nodes of ast, recovery steps over what does not fit,
             syntax_errors says what that is
symbols      what the policy declares
check        the passes of validation, and conditions as written → conditions of the core, with types
validator    the order of the passes, and the CheckedPolicySet of checked

formatter    tree → canonical text
linter       checked policy → warnings
diagnostics  how a finding is said; codes says more about each
"""
