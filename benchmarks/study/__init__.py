"""What every shortcut loses, on whole collections: the figures of docs/quality.md."""
