"""An issuer for development: anyone who reaches it may be any of its users, and it forgets all when it stops.

config          a TOML file → clients, users and resources, as frozen values
redirects       where a client may be sent back to
signing         the keys that sign access tokens, as they change
memory          codes, tokens and requests under way: bounded, by digest, forgotten in time
issuing         what is granted → an access token and what is known of it
messages        requests and answers, as values
grants          what a client can ask tokens with (Authlib, and stricter)
provider        the authorization server over the memory
pages           what a browser shows
http            a request of HTTP → an answer
serving         the answers on a loopback address
"""
