"""The guard in front of HTTP: who may come in, and the answers that only HTTP can give.

asgi       the little of ASGI that is needed
body       the body of a POST, within bounds and strictly
bearer     the token of a request, and whether it was issued for this server
challenge  what is answered when a request does not come in
metadata   protected resource metadata (RFC 9728)
connection what a connection tells of whoever is at its other end
settings   the settings of the gate, with everything filled in
lifespan   opening with the application, and closing with it
gate       all of these around an MCP application
admission  what the gate tells the plug-in behind it
"""
