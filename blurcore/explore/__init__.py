"""`blurcore explore`: one local page on which the processes can be seen at work.

The page is hand-written and comes with the package; a small server of the standard library brings it what the core works out,
as pictures and numbers. Nothing is loaded from elsewhere, and no mathematics is written a second time in JavaScript.
"""
