"""An independent judge: reads topics and ledger by its own means and says what differs.

Imports nothing of the rest of the package, because shared code hides symmetric mistakes.
"""
