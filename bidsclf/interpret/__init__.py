"""What a trained model holds: communities, where they lie, what they do."""
