"""Any bytes from the server are understood or end the session with a counted cause: no other error, no hang, no growth.

`make fuzz` plays real conversations of the simulator, spoilt in many ways, against everything between socket and
producer, in Python and compiled, and now and then against a real socket. What it finds is kept in tests/corpus, and
`tests/property/test_corpus.py` plays it again for ever.
"""
