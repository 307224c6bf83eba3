"""A page to watch a run on and to do harm from: plain HTML, one style, one script, no library."""
