"""The commands `authz-eval` and `authz-server`: parse arguments, call one function, render."""
