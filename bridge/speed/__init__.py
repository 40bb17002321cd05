"""The hot path in C: an optional accelerator, built when the package is installed where there is a C compiler.

It gives what the Python it stands for gives, byte for byte, and handles only what is usual: what is not (an unknown
field, a number that may have been rounded, a deleted entity) it leaves, untouched, to that Python, which stays the
definition (docs/decisions, 10 and 14). `bridge.app.implementation` is the one place that puts it in;
`SYNCBRIDGE_PURE=1` chooses Python.

`encoder.c` stands for the generated encoders of `bridge.entities.encoder`, `envelope.c` for `Envelopes.add`, `live.c`
for the loop of `Reconciler.apply`, `rows.c` for `bridge.app.reading.read_rows`, `records.c` for the lists of records
that wait to be packed (`bridge.kafka.packing`), `scan.c` for `cut` of `bridge.source.scanner`. `express.c` takes usual
frames all the way (`bridge.shard.frames`), with `json.c` and `entity.c`. `basics.c` has what they share, `native.h` the
rules of this code, `parts.h` what the parts see of each other. All use nothing but CPython's stable interface, so one
build serves all versions from 3.11 on. `build.py` is how it is built, `choice.py` says whether it can be used.
"""
