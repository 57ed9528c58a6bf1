"""`python -m segdata` is `segdata`."""

from segdata.cli import main

if __name__ == "__main__":
    main()
