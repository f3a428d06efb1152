"""`python -m ops` is the `tocsin` command."""

from ops.cli import main

if __name__ == "__main__":
    main(prog_name="tocsin")
