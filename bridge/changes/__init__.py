"""What happened: the published state and the reconciler that compares everything new with it. Pure.

Refuses to know Kafka and the wire; it is handed rows (entity type, event, entities) and gives back changes.
"""
