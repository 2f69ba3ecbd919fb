"""What we know of subjects, groups, role bindings, resources, tools and clients (the PIP).

entities     what an entry says
checking     what makes an entry valid
records      entries as users write them, one JSON object each
reading      JSON lines, CSV and tools/list answers → entries, or what is wrong with them
importing    entries → store, with exact counts
groups       groups that would be in themselves
store        what a directory is kept in: a Protocol
"""
