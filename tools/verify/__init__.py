"""`make verify`: what continuous integration has no time or no tools for, step by step, into docs/verify.md."""
