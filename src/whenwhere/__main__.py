"""`python -m whenwhere` is `whenwhere`."""

from whenwhere.cli import main

if __name__ == "__main__":
    main()
