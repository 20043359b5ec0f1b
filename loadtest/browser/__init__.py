"""`make bench-browser`: a person's own voice through Chromium and an echo agent, recorded on both sides in the page."""
