"""Names and types of a policy, one subject a module.

identifiers  names that requests are to carry
hierarchies  scopes that imply others, tool groups that hold others
roles        plain roles and those that a condition gives
lets         cycles of `let`s, and those that nothing uses
blocks       tool blocks; rules and obligations are what stands in them
mentions     the scopes and roles that each part of a policy knows

checker      conditions as written → conditions of the core, with types
references   roots, `let`s and steps; attributes says what may be read
comparisons  `==`, order, tests of sets; membership is `in`, patterns `like`, `under` and `matches`,
             agreement whether two operands go together
operators    `has`, `??`, `if` and sums; calls are the functions, literals the values written out
typed        what checking makes of an expression
"""
