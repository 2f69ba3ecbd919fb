"""The side of OAuth that asks for tokens and gives them out.

dev_issuer      an issuer in memory, for development and tests: codes with PKCE, refresh, introspection, revocation
"""
