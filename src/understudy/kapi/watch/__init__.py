"""Watching: snapshot and subscription in one step, bounded buffers, bookmarks."""
