"""`python -m segmodels` is `segmodels`."""

from segmodels.cli import main

if __name__ == "__main__":
    main()
