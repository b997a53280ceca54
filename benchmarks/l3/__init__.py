"""What stands behind the score of inferred orders: docs/l3.md."""
