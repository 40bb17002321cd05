"""What the things are: catalogue, schemas, encoder, owner and modulus. Pure; the vocabulary all others share."""
