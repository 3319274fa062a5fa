"""How PyInstaller freezes programs that import gd; pyproject.toml declares where its hook is."""


def folders() -> list[str]:
    """Return the folders of hooks."""
    return list(__path__)
