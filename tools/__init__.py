"""Programs for the people who work on syncbridge; nothing of the product imports them."""
