"""`python -m vectorplug.cli`, where the script `vectorplug` is not on the path."""

from vectorplug.cli import main

main()
