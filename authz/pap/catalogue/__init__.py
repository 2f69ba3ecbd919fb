"""A server's catalogue of tools, held against a policy, and a first policy made of it.

tools          the answer to `tools/list` → the tools
schemas        what their JSON Schemas say of arguments
uses           where a policy reads arguments
arguments      these held against the schemas
fitting        all that does not fit → warnings
signatures     a JSON Schema → a declaration in the language
drafting       the catalogue → the text of a first policy
drafted_tests  and of its tests
"""
