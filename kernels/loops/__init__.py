"""HOW memory is walked: loops know arrays, blocks and threads, and no formula."""
