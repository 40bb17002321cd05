"""What makes it run on a bare machine: embedded Apache Kafka, development registry, demo."""
