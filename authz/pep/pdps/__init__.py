"""Decision points for a guard: in the process, or behind gRPC.

local        the engine itself, by a policy for good or by a directory
following    the engine itself, by what a server decides by
describing   what a policy reads for each tool
remote       a server, for one event loop; remote_sync for threads
channel      where servers are, and the settings of gRPC
asking       which messages go to and fro, whoever carries them
needs        what a server has told of the attributes that its policy reads
batching     what is asked at once is asked together
remembering  answers that need not be asked for again, for a moment
keys         what tells questions apart
events       what decision points in the process tell `logging`
deciding     settings → one of these
"""
