"""`python -m medrobust`: the command line."""

from medrobust.cli import main

if __name__ == "__main__":
    main()
