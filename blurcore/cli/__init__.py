"""Command line (being written)."""
def main() -> int:
    """Run."""
    return 0
