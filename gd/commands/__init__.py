"""The sub-commands of `gd`: each module declares its options by `add(commands)`."""
