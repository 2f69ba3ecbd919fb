"""What we know of subjects, groups, role bindings, resources, tools and clients (the PIP).

entities     what an entry says, and how it is read from JSON
store        what a directory is kept in: a Protocol
"""
