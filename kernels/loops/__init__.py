"""Loops: HOW memory is walked. They know arrays, blocks and threads, but no formula."""
